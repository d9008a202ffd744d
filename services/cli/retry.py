"""`pagewire retry`: has failed documents tried again with their stored bytes, and waits until each is ready."""

from collections.abc import Sequence
from urllib.parse import quote

from services.cli.add import build_progress, tell_end, try_each, wait_until_final
from services.cli.gateway import check_response, connect, read_as
from services.cli.terminal import clean_line
from shared.contracts.documents import DocumentRecord


def retry_documents(url: str, document_ids: Sequence[str]) -> int:
    """Tries each document again; one that fails does not stop the others. How many failed."""
    return try_each(document_ids, lambda document_id: retry_document(url, document_id), str)


def retry_document(url: str, document_id: str) -> None:
    """Tries one document again, waits until it is ready, and then says what became of it."""
    with connect(url) as client, build_progress() as progress:
        response = client.post(f"/documents/{quote(document_id, safe='')}/retry")
        record = read_as(DocumentRecord, check_response(response).content)
        task = progress.add_task("queued", name=clean_line(record.filename), total=None)
        record = wait_until_final(client, record.document_id, progress, task)
    tell_end(record, record.filename)
