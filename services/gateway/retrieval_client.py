"""PassageSearch by the retrieval service, over HTTP."""

from typing import Final

import aiohttp
from pydantic import ValidationError

from shared.contracts.health import UNAVAILABLE, Readiness
from shared.contracts.search import SearchFingerprint, SearchRequest, SearchResponse
from shared.errors import DependencyUnavailable
from shared.request_id import make_request_headers

_MESSAGE: Final = "The search does not answer now; try again in a few seconds."
_MAX_CONNECTIONS: Final = 200
_CONNECT_S: Final = 2.0
"""For a free connection and to make one."""
_KEEPALIVE_S: Final = 4.0
"""The service closes what is idle for five: a question must not meet that."""
_FINGERPRINT_S: Final = 0.5
_READY_S: Final = 3.0
_FAULTS: Final = (aiohttp.ClientError, TimeoutError, ValidationError)


class RetrievalClient:
    """One pool of connections to the service. Raise DependencyUnavailable for whatever goes wrong on the way.

    Make it inside an event loop. Not httpx: through it a search took a quarter of all CPU that a question takes.

    Parameters:
        timeout_s: seconds for a search.
    """

    def __init__(self, url: str, *, timeout_s: float) -> None:
        self._url = url.rstrip("/")
        # It takes no proxy from the environment: one meant for the internet must not swallow calls inside the system.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_MAX_CONNECTIONS, keepalive_timeout=_KEEPALIVE_S),
            timeout=aiohttp.ClientTimeout(total=timeout_s, connect=_CONNECT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def search(self, request: SearchRequest) -> SearchResponse:
        """Return the best passages of the tenant's documents; being cancelled ends the search in the service, too."""
        headers = {"Content-Type": "application/json", **make_request_headers()}
        body = request.model_dump_json().encode()
        try:
            async with self._session.post(f"{self._url}/search", data=body, headers=headers) as response:
                response.raise_for_status()
                return SearchResponse.model_validate_json(await response.read())
        except _FAULTS as error:
            raise DependencyUnavailable(_MESSAGE, code="search_unavailable", retry_after=5) from error

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
