"""`pagewire list`: one line per document."""

from collections.abc import Iterator

import httpx

from services.cli.gateway import check_response, connect, read_as
from services.cli.records import describe_failure
from services.cli.terminal import clean_line, complain, say
from shared.contracts.documents import DocumentList, DocumentRecord

LIST_LIMIT = 100


def list_documents(url: str) -> None:
    """One line per document, newest first."""
    with connect(url) as client:
        empty = True
        for record in fetch_documents(client):
            say(describe_document(record))
            empty = False
    if empty:
        complain("there are no documents yet. Put one in with `pagewire add FILE`.")


def fetch_documents(client: httpx.Client) -> Iterator[DocumentRecord]:
    """Every document, page by page."""
    params: dict[str, str | int] = {"limit": LIST_LIMIT}
    while True:
        page = read_as(DocumentList, check_response(client.get("/documents", params=params)).content)
        yield from page.documents
        # A cursor that stays would make this an endless loop.
        if page.next_cursor is None or page.next_cursor == params.get("cursor"):
            return
        params["cursor"] = page.next_cursor


def describe_document(record: DocumentRecord) -> str:
    """Id, status, pages, name, and the reason when it failed; tabs, so that `cut` can take it apart."""
    parts = [record.document_id, record.status, str(record.pages_total), record.filename]
    if record.failure is not None:
        parts.append(describe_failure(record))
    if record.replacement is not None:
        parts.append(f"new version: {record.replacement.status}")
    return "\t".join(map(clean_line, parts))
