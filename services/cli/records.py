"""What a document's record says, in words."""

from collections.abc import Sequence

from shared.contracts.documents import DocumentRecord


def describe_failure(record: DocumentRecord) -> str:
    """Why the document is not searchable."""
    if record.failure is None:
        return "could not be made searchable. Add it again."
    page = [record.failure.page] if record.failure.page else []
    return f"{record.failure.detail}{describe_pages(page)}"


def describe_pages(pages: Sequence[int]) -> str:
    """` (pages 3, 4)`, or nothing."""
    listed = ", ".join(map(str, pages[:8])) + (", …" if len(pages) > 8 else "")
    return f" (page{'' if len(pages) == 1 else 's'} {listed})" if pages else ""
