"""Routes of documents: upload, list, look, delete."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from services.gateway.api.cursors import CURSOR_HELP, Cursor, find_start, make_cursor
from services.gateway.api.dependencies import Gateway, Tenant
from services.gateway.api.event_stream import LastEventId, LogResponse
from services.gateway.api.idempotency import IdempotencyKey
from services.gateway.api.links import refuse_link
from services.gateway.api.multipart_file import read_largest_size, receive_file
from services.gateway.documents.accept_document import (
    accept_document,
    count_indexed,
    delete_document,
)
from services.gateway.documents.accept_once import accept_once
from services.gateway.documents.follow_document import follow_document, wait_until_final
from services.gateway.documents.replace_document import replace_document
from services.gateway.documents.retry_document import retry_document
from services.gateway.runs.dialects import native
from shared.contracts.document_events import DocumentProgress
from shared.contracts.documents import DocumentList, DocumentRecord, DocumentStatus, ReindexAccepted, UploadAccepted
from shared.disk import telling_full_disk
from shared.event_log.port import pour
from shared.reindexing import reindex_documents
from shared.while_connected import run_while_connected

router = APIRouter(tags=["documents"])

_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}
"""For OpenAPI only: the body is read by our own parser, which streams it to disk."""


_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": (
            "Server-Sent Events: `progress`, any number of times, then `ready` or `failed`; data are JSON objects with "
            + ", ".join(f"`{name}`" for name in DocumentProgress.model_fields)
        ),
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    },
    204: {"description": "Nothing more will come: the document is ready or has failed, and that has arrived."},
}


@router.post("/documents", status_code=202, openapi_extra=_FORM, response_model_exclude_none=True)
@router.post("/upload", status_code=202, openapi_extra=_FORM, response_model_exclude_none=True)
async def upload(
    request: Request,
    gateway: Gateway,
    tenant: Tenant,
    wait: Annotated[float, Query(ge=0, description="seconds to wait until the document is ready")] = 0,
    key: IdempotencyKey = None,
) -> UploadAccepted:
    """Takes a PDF (form field `file`); 202 means that it is stored and will not be lost."""
    settings = gateway.settings
    with gateway.metrics.count_refused(), telling_full_disk():
        await refuse_link(request)
        size = read_largest_size(request.headers, settings.max_upload_bytes)
        async with gateway.spool.reserve(size) as path:
            received = await receive_file(request.stream(), request.headers, path, settings.max_upload_bytes)
            if key is None:
                record, duplicate = await accept_document(tenant, received, gateway.documents)
            else:
                record, duplicate = await accept_once(tenant, key, received, gateway.documents, gateway.upload_keys)
    gateway.metrics.count_upload("duplicate" if duplicate else "accepted")
    if wait > 0:
        seconds = min(wait, settings.max_upload_wait_s)
        registry, events = gateway.documents.registry, gateway.document_log
        waiting = wait_until_final(tenant, record.document_id, seconds, registry, events)
        record = await run_while_connected(request, waiting)
    told = record.find_upload(received.sha256, received.filename)
    pages, chunks = count_indexed(told) if wait > 0 else (None, None)
    return UploadAccepted(
        document_id=record.document_id,
        status=told.status,
        duplicate=duplicate,
        pages_processed=pages,
        chunks_indexed=chunks,
        failure=told.failure,
    )


@router.put("/documents/{document_id}", status_code=202, openapi_extra=_FORM)
async def replace(
    document_id: str,
    request: Request,
    gateway: Gateway,
    tenant: Tenant,
    wait: Annotated[float, Query(ge=0, description="seconds to wait until the new version is ready or has failed")] = 0,
) -> DocumentRecord:
    """Gives a document other bytes and another name; those before answer until the new ones do, see `replacement`."""
    settings = gateway.settings
    with gateway.metrics.count_refused(), telling_full_disk():
        size = read_largest_size(request.headers, settings.max_upload_bytes)
        async with gateway.spool.reserve(size) as path:
            received = await receive_file(request.stream(), request.headers, path, settings.max_upload_bytes)
            record = await replace_document(tenant, document_id, received, gateway.documents)
    gateway.metrics.count_upload("replaced")
    if wait > 0:
        seconds = min(wait, settings.max_upload_wait_s)
        waiting = wait_until_final(tenant, document_id, seconds, gateway.documents.registry, gateway.document_log)
        record = await run_while_connected(request, waiting)
    return record


@router.post("/documents/reindex", status_code=202)
async def reindex(
    gateway: Gateway,
    tenant: Tenant,
    everything: Annotated[
        bool, Query(alias="all", description="also what the present code and model have made")
    ] = False,
) -> ReindexAccepted:
    """Has documents made anew that older code or another model has made; each answers as before until it is."""
    documents = gateway.documents
    found = documents.registry.list_versions(tenant)
    queued, total = await reindex_documents(found, documents.registry, documents.queue, everything=everything)
    return ReindexAccepted(queued=queued, documents=total)


@router.get("/documents")
async def list_documents(
    gateway: Gateway,
    tenant: Tenant,
    cursor: Annotated[Cursor | None, Query(description=CURSOR_HELP)] = None,
    offset: Annotated[int, Query(ge=0, le=1_000_000_000, description="how many to pass by; not with a cursor")] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    status: Annotated[DocumentStatus | None, Query(description="only those that are so at this moment")] = None,
) -> DocumentList:
    """All documents, or those with a status, newest first."""
    page = await gateway.documents.registry.list(tenant, find_start(cursor, offset), limit, status)
    return DocumentList(
        documents=page.records,
        total=page.total,
        next_cursor=make_cursor(page.next_place),
        next_offset=page.next_offset,
    )


@router.get("/documents/{document_id}")
async def get_document(document_id: str, gateway: Gateway, tenant: Tenant) -> DocumentRecord:
    """One document: its status, progress, warnings and, if it failed, why."""
    return await gateway.documents.registry.get(tenant, document_id)


@router.get("/documents/{document_id}/events", response_class=StreamingResponse, responses=_EVENTS)
async def read_progress(
    document_id: str, gateway: Gateway, tenant: Tenant, last_event_id: LastEventId = None
) -> Response:
    """Tells how far a document is, as it gets further, until it is ready or has failed."""
    registry, events = gateway.documents.registry, gateway.document_log
    batches = await follow_document(tenant, document_id, last_event_id or 0, registry, events)
    if batches is None:
        return Response(status_code=204)
    return LogResponse(partial(pour, batches), native.encode_progress, gateway.settings)


@router.post("/documents/{document_id}/retry", status_code=202)
async def retry(document_id: str, gateway: Gateway, tenant: Tenant) -> DocumentRecord:
    """Has a failed document tried again with the bytes that were uploaded."""
    return await retry_document(tenant, document_id, gateway.documents)


@router.delete("/documents/{document_id}", status_code=204)
async def delete(document_id: str, gateway: Gateway, tenant: Tenant) -> Response:
    """Deletes a document: when the call returns, no answer uses it any more."""
    await delete_document(tenant, document_id, gateway.documents)
    return Response(status_code=204)
