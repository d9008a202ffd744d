"""The header by which a client says that two uploads are one (IETF draft "The Idempotency-Key HTTP Header Field")."""

from typing import Annotated, Final

from fastapi import Header
from pydantic import AfterValidator

MAX_KEY_CHARS: Final = 255
"""A UUID has 36; clients make longer ones of names and dates."""


def _unquote(key: str | None) -> str | None:
    """Return the key itself: the draft has it in quotes, and most clients do not know that."""
    quoted = key is not None and len(key) > 2 and key[0] == key[-1] == '"'
    return key[1:-1] if key is not None and quoted else key


IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=MAX_KEY_CHARS,
        pattern=r"^[ -~]*$",
        description=(
            "a name for this upload that no other one has, such as a UUID: sent again within 24 hours with the same"
            " file under the same name, it is answered with the same document"
        ),
    ),
    AfterValidator(_unquote),
]
"""Use as a parameter type: `key: IdempotencyKey = None`."""
