"""Knows what a citation marker looks like, and tells it from what only looks like one.

A marker is a bracket that holds passage numbers, in any form that models write: `[1]`, `[1, 2]`, `[1-3]`, `[^1]`,
`[Source 2]`, `[1, page 3]`, `【1】`, `【1†source】`, `［１］`. A passage number has at most three digits: a longer one
is a year or an id, and its bracket is text.

The same brackets are also written for other things. What may be another thing is never removed, and what probably is
one is not counted, either:

- a link or its definition: `[9](url)`, `[text][9]`, `[9][text]`, `[9]: url` at the beginning of a line;
- an index: `a[1]`, `my_list[1]`, `f(x)[1]`, `sys.argv[1]`, `word[0]`. A word of prose directly before the bracket may
  be either: `sales[1]` counts where the passage is there, and else passes as it is;
- an interval or an array: `[0, 1]`, `[0-9]`, `[3-1]`, `x = [1, 2]`, `the interval [1, 2]`, `[[1, 2], [3, 4]]`,
  `[1-3]+`;
- a part of a name: `[18]F` with an impossible number.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto

MAX_MARKER_CHARS = 256
"""Of a longer bracket nothing is a marker; fifty numbers take 200."""

CLOSERS = {"[": "]", "【": "】", "［": "］"}

_DIGIT = "[0-9\uff10-\uff19\u0660-\u0669\u06f0-\u06f9\u0966-\u096f]"
_NUMBER = f"{_DIGIT}{{1,3}}(?!{_DIGIT})"
_DASHES = r"\-\u2010-\u2015\u2212~\u301c\uff5e"
_DASH = f"[{_DASHES}]"
_LABEL = "(?:passages?|sources?|documents?|docs?)"
# Possessive, here and below: what these repeat never begins what follows, and to try all ways to part it would take
# years.
_PAGE = f"{_DIGIT}++"
_LOCATOR = f"[,;:]?(?:_)*+(?:pages?|pp?)(?![a-z])[.:]?(?:_)*+{_PAGE}(?:(?:_)*+[,&{_DASHES}]?(?:_)*+{_PAGE})*+"
_ITEM = rf"(?:\^|{_LABEL}(?:_)*+[:#.]?(?:_)*+)?{_NUMBER}(?:(?:_)*+{_DASH}(?:_)*+\^?{_NUMBER})?"
_SEPARATOR = r"(?:_)*+(?:[,;、，；](?:(?:_)*+and(?![a-z]))?|&|and(?![a-z]))(?:_)*+"
_FORM = (
    r"(?P<open>[\[【［])(?:_)*+"
    rf"(?P<items>{_ITEM}(?:{_SEPARATOR}{_ITEM})*+)"
    rf"(?P<second>:{_NUMBER}(?=†))?"
    rf"(?P<rest>(?:_)*+(?:†[^\[\]【】［］\n`$\\]{{0,60}}|{_LOCATOR})?)"
    r"(?:_)*+[,;、，；]?(?:_)*+[\]】］]"
)
_BLANKS = "[ \t\u00a0\u202f\u3000]"


def _compile(blanks: str) -> re.Pattern[str]:
    return re.compile(_FORM.replace("_)", f"{blanks})"), re.IGNORECASE)


_MARKER = _compile(_BLANKS)
_MARKER_OVER_LINES = _compile("[ \t\n\u00a0\u202f\u3000]")
_RANGE = re.compile(rf"({_NUMBER})(?:{_BLANKS}*{_DASH}{_BLANKS}*\^?({_NUMBER}))?")
_LAST_SEPARATOR = re.compile(rf"\A(?:{_BLANKS}|[,;、，；])+(?=.\Z)")
_ITEMS = re.compile(_ITEM.replace("_)", f"{_BLANKS})"), re.IGNORECASE)


def _begin(word: str) -> str:
    """Return a pattern for each beginning of a word."""
    return "" if not word else f"{word[0]}(?:{_begin(word[1:])})?"


_WORDS = ("passages", "sources", "documents", "docs", "pages", "pp", "and")
_BEGINNING = re.compile(
    rf"[\[【［](?:(?:{_BLANKS}|{_DIGIT}|{_DASH}|[,;、，；&:#.^]|(?:{_LABEL}|pages?|pp?|and)(?![a-z]))*+"
    rf"(?:{'|'.join(map(_begin, _WORDS))})?|[^†\[\]【】［］\n]*†[^\[\]【】［］\n`$\\]*)\Z",
    re.IGNORECASE,
)

# Words in scripts that put no blank between words, and where nobody writes an index expression.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef"
_WORD_CHAR = rf"(?:(?![{_UNSPACED}])\w)"
_STARTS_WITH_WORD = re.compile(_WORD_CHAR)
# These read backwards, so that they need not be tried at each character: the text before comes reversed.
_WORD_BEFORE = re.compile(rf"{_WORD_CHAR}(?:{_WORD_CHAR}|[.,'’%])*")
_ONE_LETTER_BEFORE = re.compile(r"[^\W\d_](?![\w'’.])")
_NUMBERS_OPEN_BEFORE = re.compile(rf"[\d,;、，；\s&{_DASHES}]*[\[【［]")
_OPERATOR_BEFORE = re.compile(r"[ \t]*(?:[=∈∉⊂⊆∪∩×≈≠≤≥]|ni\\)|[/^]")
_LINE_BEFORE = re.compile(r"[ \t>]*\n")
_INTERVAL_BEFORE = re.compile(r"[ \t]*(?::|fo |morf )?[ \t]*(?:s?lavretni|egnar (?:eht )?ni)\b", re.IGNORECASE)
_FIGURE = re.compile(r"[\d.,]+")
_ATTRIBUTE_NAME = re.compile(r".*[a-z]\w*\.[a-z]\w*")


class Host(Enum):
    """What a bracket is attached to."""

    NOTHING = auto()  # a blank, the end of a sentence, a figure: in prose the bracket can only be a marker
    WORD = auto()  # of prose, or a name in code
    CODE = auto()


class Verdict(Enum):
    """What becomes of a bracket."""

    TEXT = auto()
    CITATION = auto()
    PARTLY = auto()
    WRONG = auto()


@dataclass(frozen=True)
class Marker:
    """A bracket that has the form of a citation.

    Attributes:
        text: the whole of it.
        ranges: first and last number of each item, the same for a single number.
        certain: whether nothing else has this form, whatever it is attached to.
    """

    text: str
    ranges: tuple[tuple[int, int], ...]
    certain: bool

    @property
    def is_single(self) -> bool:
        """Whether it holds one number."""
        return len(self.ranges) == 1 and self.ranges[0][0] == self.ranges[0][1]

    @property
    def is_interval(self) -> bool:
        """Whether its numbers cannot be passages, but are those of an interval or an array."""
        return any(low > high or (low == 0 and not self.is_single) for low, high in self.ranges)


def read_marker(text: str, start: int) -> Marker | None:
    """Return the marker that begins at `start`, None where there is no whole one."""
    match = _MARKER.match(text, start, start + MAX_MARKER_CHARS)
    return _make_marker(match) if match else None


def may_become_marker(text: str, start: int) -> bool:
    """Return whether the text that begins at `start` is the beginning of a marker."""
    return len(text) - start < MAX_MARKER_CHARS and _BEGINNING.match(text, start) is not None


def _make_marker(match: re.Match[str]) -> Marker | None:
    text = match[0]
    if CLOSERS[text[0]] != text[-1]:
        return None
    ranges = tuple((int(low), int(high or low)) for low, high in _RANGE.findall(match["items"]))
    footnote = "^" in match["items"]
    if footnote and any(low != high for low, high in ranges):
        return None  # a class of a regular expression
    if match["second"]:
        ranges = ((0, 0),)  # message and source of another tool
    certain = footnote or text[0] != "[" or match["rest"].strip() != "" or match["items"][0].isalpha()
    return Marker(text, ranges, certain)


def name_passages(marker: Marker, passages: int) -> set[int]:
    """Return the passages that its valid items name."""
    valid = (numbers for numbers in marker.ranges if is_valid(numbers, passages))
    return {n for low, high in valid for n in range(low, high + 1)}


def keep_items(marker: Marker, passages: int) -> str:
    """Return the marker with only those items that name passages."""
    items = list(_ITEMS.finditer(marker.text))[: len(marker.ranges)]
    kept = [match[0] for match, numbers in zip(items, marker.ranges, strict=True) if is_valid(numbers, passages)]
    end = _LAST_SEPARATOR.sub("", marker.text[items[-1].end() :])
    return marker.text[: items[0].start()] + ", ".join(kept) + end


def is_valid(numbers: tuple[int, int], passages: int) -> bool:
    """Return whether all passages of a range are there."""
    return 1 <= numbers[0] <= numbers[1] <= passages


def find_host(before: str) -> Host:
    """Return what a bracket is attached to that follows this text, other than another bracket."""
    last = before[-1:]
    if last in CLOSERS.values():
        return Host.CODE  # a reference link, or an index of an index
    if last == ")":
        return _find_call(before)
    if last in ("}", "_", "`", "$"):
        return Host.WORD
    backwards = before[:-60:-1]
    found = _WORD_BEFORE.match(backwards)
    if not found or _FIGURE.fullmatch(found[0]):
        return Host.NOTHING
    word = found[0][::-1]
    if _ONE_LETTER_BEFORE.match(backwards) or "_" in word or _ATTRIBUTE_NAME.fullmatch(word):
        return Host.CODE
    return Host.WORD


def _find_call(before: str) -> Host:
    depth = 0
    for position in range(len(before) - 1, -1, -1):
        char = before[position]
        if char == ")":
            depth += 1
        elif char == "(":
            depth -= 1
        if depth == 0:
            return Host.CODE if _STARTS_WITH_WORD.match(before, position - 1) else Host.NOTHING
    return Host.WORD


def judge(marker: Marker, host: Host, before: str, after: str, passages: int) -> Verdict:
    """Return what becomes of a bracket in prose.

    Parameters:
        host: what stands directly before it.
        before: the text before it, from a line break on.
        after: the character behind it, empty at the end; an opening bracket only where a marker begins with it.
        passages: the numbers 1..passages are valid.
    """
    valid = [is_valid(numbers, passages) for numbers in marker.ranges]
    if _is_other(marker, before, after, all(valid)):
        return Verdict.TEXT
    if not marker.certain and (host is Host.CODE or (host is Host.WORD and not all(valid))):
        return Verdict.TEXT
    if all(valid):
        return Verdict.CITATION
    if not marker.certain and _STARTS_WITH_WORD.match(after):
        return Verdict.TEXT
    return Verdict.PARTLY if any(valid) else Verdict.WRONG


def _is_other(marker: Marker, before: str, after: str, valid: bool) -> bool:
    backwards = before[::-1]
    if marker.text[0] == "[" and (after == "(" or (after == ":" and _LINE_BEFORE.match(backwards))):
        return True
    if before.endswith("]("):
        return True  # the target of a link
    if marker.is_interval or (not marker.certain and _OPERATOR_BEFORE.match(backwards)):
        return True
    closed = after in CLOSERS.values()
    if (closed or _NUMBERS_OPEN_BEFORE.match(backwards)) and not (valid and marker.is_single):
        return True
    if before[-1:] in CLOSERS and not closed:
        return True
    if marker.is_single:
        return False
    if any(low != high for low, high in marker.ranges) and after in (("+", "{", "\\") if valid else tuple("+{\\*?")):
        return True
    return _INTERVAL_BEFORE.match(backwards) is not None


def mask_markers(text: str) -> str:
    """Return the text with other brackets around what could be taken for a citation: `[2]` becomes `⟦2⟧`.

    For texts that a model reads: what it repeats of them is no marker then. Years, index expressions and intervals keep
    their brackets, because they are never counted.
    """

    end, kept = -1, False

    def mask(match: re.Match[str]) -> str:
        nonlocal end, kept
        marker = _make_marker(match)
        attached = match.start() == end
        end = match.end()
        if not attached:
            before = text[max(0, match.start() - 200) : match.start()]
            kept = before[-1:] not in CLOSERS.values() and find_host(before) is Host.CODE
        kept = kept and marker is not None and not marker.certain
        if not marker or marker.is_interval or kept:
            return match[0]
        return f"⟦{match[0][1:-1]}⟧"

    return _MARKER_OVER_LINES.sub(mask, text)
