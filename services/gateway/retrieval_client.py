"""PassageSearch by the retrieval service, over HTTP."""

import asyncio
import math
from typing import Final

import aiohttp
from pydantic import ValidationError

from shared.contracts.errors import ErrorBody
from shared.contracts.health import UNAVAILABLE, Readiness
from shared.contracts.search import SearchFingerprint, SearchRequest, SearchResponse
from shared.errors import BUSY_CODE, DependencyUnavailable, make_busy_error
from shared.request_id import make_request_headers

_MESSAGE: Final = "The search does not answer now; try again in a few seconds."
_SEARCHES_AT_ONCE: Final = 200
"""On their way to the service; more wait here."""
_OTHER_CONNECTIONS: Final = 50
"""For what has to be answered at once, and so must not wait behind searches."""
_CONNECT_S: Final = 2.0
"""To make a connection."""
_KEEPALIVE_S: Final = 4.0
"""The service closes what is idle for five: a question must not meet that."""
_FINGERPRINT_S: Final = 0.5
_READY_S: Final = 3.0
_FAULTS: Final = (aiohttp.ClientError, TimeoutError, ValidationError)


class RetrievalClient:
    """One pool of connections to the service. Raise DependencyUnavailable for whatever goes wrong on the way.

    Make it inside an event loop. Not httpx: through it a search took a quarter of all CPU that a question takes.

    A search that the service has no permit for, or that gets no answer in time while others do, is refused as
    `server_busy`: the service is there.

    Parameters:
        timeout_s: seconds for a search, waiting for its turn included.
    """

    def __init__(self, url: str, *, timeout_s: float) -> None:
        self._url = url.rstrip("/")
        # It takes no proxy from the environment: one meant for the internet must not swallow calls inside the system.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=_SEARCHES_AT_ONCE + _OTHER_CONNECTIONS, keepalive_timeout=_KEEPALIVE_S
            ),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self._timeout_s = timeout_s
        self._turns = asyncio.Semaphore(_SEARCHES_AT_ONCE)
        self._answered_at = -math.inf
        """When a search was last answered, by the clock of the loop."""

    async def search(self, request: SearchRequest) -> SearchResponse:
        """Return the best passages of the tenant's documents; being cancelled ends the search in the service, too."""
        clock = asyncio.get_running_loop().time
        came_at = clock()
        try:
            async with asyncio.timeout(self._timeout_s), self._turns:
                found = await self._ask_again_if_closed(request.model_dump_json().encode())
        except _FAULTS as error:
            if isinstance(error, TimeoutError) and self._answered_at >= came_at:
                raise make_busy_error() from error
            raise DependencyUnavailable(_MESSAGE, code="search_unavailable", retry_after=5) from error
        self._answered_at = clock()
        return found

    async def _ask_again_if_closed(self, body: bytes) -> SearchResponse:
        """Ask once more where a connection was closed before an answer came, as services do that are stopped.

        A search is but a read. The next connection is to a service that goes on, where there is one.
        """
        try:
            return await self._ask(body)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            return await self._ask(body)

    async def _ask(self, body: bytes) -> SearchResponse:
        headers = {"Content-Type": "application/json", **make_request_headers()}
        async with self._session.post(f"{self._url}/search", data=body, headers=headers) as response:
            if response.status == 503 and await _is_busy(response):
                raise make_busy_error()
            response.raise_for_status()
            return SearchResponse.model_validate_json(await response.read())

    async def read_fingerprint(self) -> str | None:
        """Return the fingerprint of the searches of now; None when the service does not say it at once."""
        try:
            async with self._session.get(
                f"{self._url}/search/fingerprint",
                headers=make_request_headers(),
                timeout=aiohttp.ClientTimeout(total=_FINGERPRINT_S),
            ) as response:
                response.raise_for_status()
                return SearchFingerprint.model_validate_json(await response.read()).fingerprint
        except _FAULTS:
            return None

    async def check_ready(self) -> dict[str, str]:
        """Return the state of each part of the service."""
        timeout = aiohttp.ClientTimeout(total=_READY_S)
        try:
            async with self._session.get(f"{self._url}/health/ready", timeout=timeout) as response:
                return Readiness.model_validate_json(await response.read()).parts
        except _FAULTS:
            return {"retrieval": UNAVAILABLE}

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


async def _is_busy(response: aiohttp.ClientResponse) -> bool:
    """Return whether this is the refusal of a service that has as many searches as it takes at once."""
    return ErrorBody.model_validate_json(await response.read()).error.code == BUSY_CODE
