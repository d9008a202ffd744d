"""PassageSearch by the retrieval service, over HTTP."""

import httpx
from pydantic import ValidationError

from shared.contracts.health import UNAVAILABLE, Readiness
from shared.contracts.search import SearchFingerprint, SearchRequest, SearchResponse
from shared.errors import DependencyUnavailable
from shared.request_id import make_request_headers

_MESSAGE = "The search does not answer now; try again in a few seconds."


class RetrievalClient:
    """One pool of connections to the service. Raise DependencyUnavailable for whatever goes wrong on the way."""

    def __init__(self, url: str, *, timeout_s: float) -> None:
        timeout = httpx.Timeout(timeout_s, connect=2.0, pool=2.0)
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=50)
        # trust_env off: a proxy variable meant for the internet must not swallow calls inside the system.
        self._client = httpx.AsyncClient(base_url=url, timeout=timeout, limits=limits, trust_env=False)

    async def search(self, request: SearchRequest) -> SearchResponse:
        """Return the best passages of the tenant's documents; being cancelled ends the search in the service, too."""
        try:
            headers = make_request_headers()
            response = await self._client.post("/search", json=request.model_dump(), headers=headers)
            response.raise_for_status()
            return SearchResponse.model_validate_json(response.content)
        except (httpx.HTTPError, ValidationError) as error:
            raise DependencyUnavailable(_MESSAGE, code="search_unavailable", retry_after=5) from error

    async def read_fingerprint(self) -> str | None:
        """Return the fingerprint of the searches of now; None when the service does not say it at once."""
        try:
            response = await self._client.get("/search/fingerprint", headers=make_request_headers(), timeout=0.5)
            response.raise_for_status()
            return SearchFingerprint.model_validate_json(response.content).fingerprint
        except (httpx.HTTPError, ValidationError):
            return None

    async def check_ready(self) -> dict[str, str]:
        """Return the state of each part of the service."""
        try:
            response = await self._client.get("/health/ready", timeout=3.0)
            return Readiness.model_validate_json(response.content).parts
        except (httpx.HTTPError, ValidationError):
            return {"retrieval": UNAVAILABLE}

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
