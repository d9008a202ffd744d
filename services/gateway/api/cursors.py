"""Where a page of documents ends, as a text that clients send back for the next one and need not understand."""

from typing import Annotated, Final

from pydantic import StringConstraints

from shared.errors import UnprocessableRequest
from shared.registry.port import ListPlace

Cursor = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,15}-[A-Za-z0-9_]{1,200}$")]
CURSOR_HELP: Final = "`next_cursor` of the page before: each document that is there all the while comes exactly once"


def make_cursor(place: ListPlace | None) -> str | None:
    """Return the cursor of a place; None where the list ends."""
    return None if place is None else f"{place.created_ms}-{place.document_id}"


def find_start(cursor: str | None, offset: int) -> int | ListPlace:
    """Return where a page begins. Raise UnprocessableRequest where that is said twice."""
    if cursor is None:
        return offset
    if offset:
        raise UnprocessableRequest("offset: a cursor says where the page begins; send one of the two.")
    created_ms, document_id = cursor.split("-", 1)
    return ListPlace(int(created_ms), document_id)
