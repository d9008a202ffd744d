"""Reads host names and the origins of web pages."""

import ipaddress
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def split_netloc(url: str) -> tuple[str, int | None]:
    """Return a URL's name in lower case and its port; an empty name for what is no URL, such as the origin `null`."""
    try:
        parts = urlsplit(url)
        return (parts.hostname or "").removesuffix("."), parts.port
    except ValueError:
        return "", None
