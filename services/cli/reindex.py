"""`pagewire reindex`: documents of older code or another model are made anew, in the background."""

import time

from services.cli.gateway import check_response, connect, read_as
from services.cli.list_documents import fetch_documents
from services.cli.terminal import complain, say
from shared.contracts.documents import DocumentRecord, ReindexAccepted

POLL_S = 2.0
"""Between looks at how many are left; a document takes seconds to minutes."""


def reindex(url: str, *, everything: bool, wait: bool) -> bool:
    """Begin, and with `wait` say how many are left until none is; return whether one has failed."""
    with connect(url) as client:
        response = client.post("/documents/reindex", params={"all": everything})
        accepted = read_as(ReindexAccepted, check_response(response).content)
        say(f"{accepted.queued} of {accepted.documents} documents are made anew; each answers as before until it is.")
        if not wait:
            return False
        left = -1
        while (records := [record for record in fetch_documents(client) if not record.settled]) or left:
            if len(records) != left:
                left = len(records)
                say(f"{left} left")
            if left:
                time.sleep(POLL_S)
        failed = [record for record in fetch_documents(client) if _report(record)]
    return bool(failed)


def _report(record: DocumentRecord) -> bool:
    """Say what is wrong with a document whose new version has failed; return whether it has."""
    if record.replacement is None or record.replacement.failure is None:
        return False
    complain(f"{record.document_id} {record.filename}: {record.replacement.failure.detail}")
    return True
