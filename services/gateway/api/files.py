"""Route of a document's PDF itself, to which the citations link."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final
from urllib.parse import quote

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from services.gateway.api.byte_ranges import UnsatisfiableRangeError, find_range, is_known
from services.gateway.api.dependencies import Gateway, Tenant
from services.gateway.client_stream import ClientStream, open_client_stream
from services.gateway.documents.read_file import StoredFile, find_file, read_file
from shared.error_handlers import make_error_response
from shared.errors import PagewireError

log = structlog.get_logger(__name__)
router = APIRouter(tags=["documents"])

# A PDF is somebody else's work. The type is fixed, so no browser takes it for a page; and were there one that did, it
# would run nothing and have no origin. Chromium 156 shows a PDF with this policy all the same.
_POLICY: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"

_FILE: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "the PDF as it was uploaded; `ETag` is its sha-256",
        "content": {"application/pdf": {"schema": {"type": "string", "format": "binary"}}},
    },
    206: {
        "description": "the part that `Range` names",
        "content": {"application/pdf": {"schema": {"type": "string", "format": "binary"}}},
    },
    304: {"description": "the client has it already, as it says in `If-None-Match`"},
}


@router.get("/documents/{document_id}/file", response_class=StreamingResponse, responses=_FILE)
async def send_file(document_id: str, request: Request, gateway: Gateway, tenant: Tenant) -> Response:
    """Sends the PDF; a browser opens it at a page with `#page=N`."""
    file = await find_file(tenant, document_id, gateway.documents)
    etag = f'"{file.sha256}"'
    # Kept by the browser, and asked for again each time: a deleted document is gone for whoever had it open, too.
    headers = {"ETag": etag, "Cache-Control": "private, no-cache", "Content-Security-Policy": _POLICY}
    if is_known(request.headers, etag):
        return Response(status_code=304, headers=headers)
    try:
        wanted = find_range(request.headers, file.size_bytes, etag)
    except UnsatisfiableRangeError:
        message = f"The document has {file.size_bytes} bytes; the range begins behind them."
        response = make_error_response(request, 416, "range_not_satisfiable", message, {"size_bytes": file.size_bytes})
        response.headers["Content-Range"] = f"bytes */{file.size_bytes}"
        return response
    start, end = wanted or (0, file.size_bytes)
    pieces = read_file(file, start, end, gateway.documents.blobs)
    first = await anext(pieces)  # what is wrong with the blob is said with a status
    headers |= _describe(file, start, end, is_part=wanted is not None)
    client = open_client_stream(request.scope)
    client.abort_unread(gateway.settings.send_timeout_s)
    status = 200 if wanted is None else 206
    return StreamingResponse(_send(first, pieces, client), status, headers, media_type="application/pdf")


def _describe(file: StoredFile, start: int, end: int, *, is_part: bool) -> dict[str, str]:
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Length": str(end - start),
        "Content-Disposition": f"inline; filename*=UTF-8''{quote(file.filename, safe='')}",
    }
    return headers | ({"Content-Range": f"bytes {start}-{end - 1}/{file.size_bytes}"} if is_part else {})


async def _send(first: bytes, rest: AsyncGenerator[bytes, None], client: ClientStream) -> AsyncGenerator[bytes, None]:
    async with aclosing(rest):
        try:
            yield first
            async for piece in rest:
                yield piece
        except PagewireError as error:  # as when the document is deleted meanwhile
            log.warning("file_broken", code=error.error_code)
            client.abort()
            await asyncio.Event().wait()  # the response ends with its connection
