"""Links from a source to its page in the PDF."""

from shared.contracts.questions import Source


def make_page_url(source: Source, base_url: str) -> str:
    """Return where the PDF opens at the page of a passage.

    Parameters:
        base_url: where the gateway is for whoever follows the link, without a slash at its end.
    """
    return f"{base_url}/documents/{source.document_id}/file#page={source.page}"
