"""Leave out numbers in brackets, which would read as citations of ours where a passage is quoted."""

import re

_BRACKET = re.compile(r"([\[\]［］【】〔〕])")
_OPENING = frozenset("[［【〔")
_FURTHEST = 8  # pieces between two brackets that are looked at, so that nesting costs nothing
_LONGEST = 64


def drop_bracketed_numbers(text: str) -> str:
    """Return the text without square brackets that hold a digit, and without what they hold (`[7]`, `[^2]`)."""
    kept: list[str] = []
    opened: list[int] = []
    for piece in _BRACKET.split(text):
        kept.append(piece)
        if piece in _OPENING:
            opened.append(len(kept) - 1)
        elif opened and _BRACKET.fullmatch(piece):
            start = opened.pop()
            inside = "".join(kept[start:]) if len(kept) - start <= _FURTHEST else ""
            if len(inside) <= _LONGEST and any(map(str.isdigit, inside)):
                del kept[start:]
    return "".join(kept)
