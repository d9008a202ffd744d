"""Refuses an upload that names an address in place of a file: the server fetches nothing."""

import json
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qs

from fastapi import Request

from shared.errors import UnprocessableRequest

FIELD: Final = "url"
MAX_BODY_BYTES: Final = 64 * 1024
"""Of a body without a file that is looked at; the longest address that anything takes is far shorter."""

_MESSAGE: Final = (
    "The server fetches no files from addresses, because whoever may upload could then reach all that it can reach."
    " Download the PDF and send the file itself, e.g. curl -L URL | curl -F 'file=@-;filename=report.pdf' …/documents."
)


def make_link_error() -> UnprocessableRequest:
    """Return the error that says so."""
    return UnprocessableRequest(_MESSAGE, code="url_not_fetched")


async def refuse_link(request: Request) -> None:
    """Raise UnprocessableRequest (`url_not_fetched`) for JSON or a simple form with an address; read no other body."""
    read = _READERS.get(request.headers.get("content-type", "").partition(";")[0].strip().lower())
    if read is None:
        return
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            return
    try:
        sent = read(body)
    except (ValueError, RecursionError):  # it is refused as what it is: no upload
        return
    if isinstance(sent, dict) and FIELD in sent:
        raise make_link_error()


def _read_form(body: bytes) -> dict[str, list[str]]:
    return parse_qs(body.decode())


_READERS: Final[dict[str, Callable[[bytes], Any]]] = {
    "application/json": json.loads,
    "application/x-www-form-urlencoded": _read_form,
}
