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
    offset: int | None = 0
    while offset is not None:
        response = client.get("/documents", params={"offset": offset, "limit": LIST_LIMIT})
        page = read_as(DocumentList, check_response(response).content)
        yield from page.documents
        # An offset that does not grow would make this an endless loop.
        offset = page.next_offset if page.next_offset is not None and page.next_offset > offset else None


def describe_document(record: DocumentRecord) -> str:
    """Id, status, pages, name, and the reason when it failed; tabs, so that `cut` can take it apart."""
    parts = [record.document_id, record.status, str(record.pages_total), record.filename]
    if record.failure is not None:
        parts.append(describe_failure(record))
    if record.replacement is not None:
        parts.append(f"new version: {record.replacement.status}")
    return "\t".join(map(clean_line, parts))
