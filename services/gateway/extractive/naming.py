"""Names that tell one thing from others of its kind, so that a text about the other one answers nothing.

`Magpie-7`, `Ward 12`, `MS Tern` and `Head of Sales` each consist of a kind and a mark. A text that holds the
kind with another mark only (`Magpie-6`, `Head of People`) speaks of something else.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from services.gateway.extractive.vocabulary import MONTHS, STOP_WORDS
from services.gateway.extractive.words import fold, stem

_JOINED = re.compile(
    r"\b(?P<kind>[^\W\d_a-z][^\W\d_]*|version|release|model|form|code|error|message)[ -]"
    r"(?=(?P<mark>\d+(?:[.,]\d+)*|[^\W\d_a-z]\w*))"
)
_OF = re.compile(r"\b(?P<kind>[^\W\d_]{3,}) of (?:the )?(?=(?P<mark>[^\W\d_]{3,}))")


@dataclass(frozen=True)
class Name:
    """A kind and what marks one of it; `joined` unless an `of` stands between them."""

    kind: str
    mark: str
    joined: bool


def find_names(text: str) -> frozenset[Name]:
    """All names in a text, also by chance: any two capitalised words in a row count."""
    names = set()
    for pattern in (_JOINED, _OF):
        for match in pattern.finditer(text):
            kind, mark = fold(match["kind"]), fold(match["mark"])
            if not {kind, mark} & STOP_WORDS and kind not in MONTHS:
                names.add(Name(stem(kind), stem(mark), pattern is _JOINED))
    return frozenset(names)


def speaks_of_another(asked: Iterable[Name], names: frozenset[Name], stems: frozenset[str] | set[str]) -> bool:
    """Whether a text with these names and stems names the asked kind, but only with other marks."""
    asked = list(asked)
    return any(
        name.mark not in stems
        and any(other.kind == name.kind and other.joined == name.joined for other in names)
        and not any(other in names for other in asked if other.kind == name.kind)
        for name in asked
    )


def is_unknown(name: Name, names: frozenset[Name]) -> bool:
    """Whether texts with these names know the kind with other marks, but not this one."""
    return name not in names and any(other.kind == name.kind and other.joined == name.joined for other in names)
