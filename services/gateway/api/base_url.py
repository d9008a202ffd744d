"""Where links of an answer lead."""

from fastapi import Request

from services.gateway.settings import GatewaySettings


def find_base_url(request: Request, settings: GatewaySettings) -> str:
    """Return the gateway's address without a slash at its end: the public one, else the one the client has called."""
    return (settings.public_url or str(request.base_url)).rstrip("/")
