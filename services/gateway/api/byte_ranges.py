"""Which bytes of a resource a request wants (RFC 9110, sections 13 and 14)."""

import re
from collections.abc import Mapping
from typing import Final

_ONE_RANGE: Final = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*", re.IGNORECASE)


class UnsatisfiableRangeError(Exception):
    """The range that is asked for begins behind the end."""


def find_range(headers: Mapping[str, str], size: int, etag: str) -> tuple[int, int] | None:
    """Return where the one range that is asked for begins and, exclusive, ends; None: the whole is to be sent.

    That is so for several ranges at once, which a server need not serve, for what is no range of bytes, and where
    `If-Range` names another version than this one.

    Raises:
        UnsatisfiableRangeError: there is no such byte.
    """
    found = _ONE_RANGE.fullmatch(headers.get("range", ""))
    if found is None or found[1] == found[2] == "" or headers.get("if-range", etag) != etag:
        return None
    if found[1] == "":  # the last so many
        start, end = max(0, size - int(found[2])), size
    else:
        start = int(found[1])
        last = int(found[2]) if found[2] else max(start, size)
        if last < start:
            return None
        end = min(last + 1, size)
    if start >= end:
        raise UnsatisfiableRangeError
    return start, end


def is_known(headers: Mapping[str, str], etag: str) -> bool:
    """Return whether the client has this version already, and says so in `If-None-Match`."""
    told = [tag.strip().removeprefix("W/") for tag in headers.get("if-none-match", "").split(",")]
    return etag in told or told == ["*"]
