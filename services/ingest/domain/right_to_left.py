"""Puts lines of Hebrew, Arabic and their like into the order in which they are read.

PDFs have them in the order of reading or from left to right as they are printed, and PDFium believes the second. So the
order in the file is not asked at all: a line's characters are taken from left to right by where they stand, and the
order of reading follows from that, by the rules of Unicode's bidirectional algorithm (UAX 9) turned around.
"""

import re
import statistics
import unicodedata
from bisect import bisect
from collections.abc import Sequence
from typing import NamedTuple

RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]")
_ARABIC_FORMS = re.compile("[\ufb50-\ufdff\ufe70-\ufefc]")
_SPACE = 0.12
"""Heights of a line that two characters have to be apart for a space to be between them. A space is 0.2 to 0.3 wide."""
_SAME_LINE = 0.5
"""Share of the lower one's height in which two lines have to meet to be one."""
_LINE_HEIGHT = 2.5
"""Usual heights of its characters that a line may be high; what is higher is turned, or no line."""
_IN_NUMBERS = frozenset(".,:/'’-+")
"""Signs that belong to a number when there is a digit on both sides."""
_BEFORE_NUMBERS = frozenset("$€£¥₪#+-−")
"""Signs that belong to a number that they stand left of; those of a share are there only as part of the text around."""
_BEHIND_NUMBERS = frozenset("%‰°$€£¥₪")
"""Signs that belong to a number that they stand right of."""
_BRACKETS = {bracket: pair for pair in ("()", "[]", "{}", "«»", "<>") for bracket in pair}
"""For each bracket the one that opens and the one that closes."""


_LAM = "\u0644"
"""It comes first where one sign stands for two letters; PDFium has both orders, as the file is made."""
_KEPT = re.compile("(?:N[N ]*)?L(?:[LN ]*[LN])?|N+|.")
"""In a text from right to left: what goes from left to right, words of other scripts with all between them."""
_TURNED = re.compile("R(?:[RN ]*R)?|[^R]+")
"""In a text from left to right: what goes from right to left, and what is between."""


class Glyph(NamedTuple):
    """A character of a line, where it stands, in points, and its place in PDFium's text."""

    char: str
    left: float
    bottom: float
    right: float
    top: float
    place: int


def normalize_forms(text: str) -> str:
    """Return the text with plain letters for the forms that Arabic ones have within a word, one character for one.

    The few that stand for whole phrases or for a mark on a space stay as they are.
    """
    return _ARABIC_FORMS.sub(_normalize_form, text)


def _normalize_form(match: re.Match[str]) -> str:
    plain = unicodedata.normalize("NFKC", match[0])
    return match[0] if any(map(str.isspace, plain)) else plain


def is_mostly_right_to_left(text: str) -> bool:
    """Whether more than half of the letters are of such a script."""
    found = 0 if text.isascii() else len(RIGHT_TO_LEFT.findall(text))
    return found > 0 and 2 * found > sum(map(str.isalpha, text))


def continues(line: Sequence[Glyph], other: Sequence[Glyph]) -> bool:
    """Whether two lines of PDFium's are one: it breaks some where each letter is printed by itself."""
    bottom, top = max(line[0].bottom, other[0].bottom), min(line[0].top, other[0].top)
    height = min(line[0].top - line[0].bottom, other[0].top - other[0].bottom)
    if top - bottom < _SAME_LINE * height:
        return False
    (left, right), (other_left, other_right) = (
        (min(glyph.left for glyph in part), max(glyph.right for glyph in part)) for part in (line, other)
    )
    return -height / 2 < max(other_left - right, left - other_right) < height


def order_line(glyphs: Sequence[Glyph], page_is_right_to_left: bool) -> list[Glyph | None] | None:
    """Return the glyphs of a line in the order of reading, with None for each space; None when they are no such line.

    Parameters:
        glyphs: all but spaces.
        page_is_right_to_left: whether most of the page is; else the line is, if most of it is.
    """
    if not glyphs:
        return None
    height = statistics.median(glyph.top - glyph.bottom for glyph in glyphs)
    if max(glyph.top for glyph in glyphs) - min(glyph.bottom for glyph in glyphs) > _LINE_HEIGHT * height:
        return None
    printed: list[list[Glyph]] = []  # an empty one is a space
    for cluster in _sort_clusters(glyphs):
        if printed and cluster[0].left - printed[-1][0].right > _SPACE * height:
            printed.append([])
        printed.append(cluster)
    kinds = _find_kinds([cluster[0].char if cluster else " " for cluster in printed])
    whole = page_is_right_to_left or is_mostly_right_to_left("".join(glyph.char for glyph in glyphs))
    order = _turn(kinds, 0, len(kinds)) if whole else _turn_parts(kinds)
    line: list[Glyph | None] = []
    for index in order:
        line += printed[index] or [None]
    return _turn_brackets(line)


def _sort_clusters(glyphs: Sequence[Glyph]) -> list[list[Glyph]]:
    """From left to right, each with the marks that stand over or under it, and the letters that one sign stands for."""
    marks = [glyph for glyph in glyphs if unicodedata.category(glyph.char) == "Mn"]
    letters = [glyph for glyph in glyphs if unicodedata.category(glyph.char) != "Mn"]
    if not letters:
        return [[mark] for mark in sorted(marks, key=_find_middle)]
    clusters: list[list[Glyph]] = []
    for glyph in sorted(letters, key=_find_middle):
        if clusters and clusters[-1][0][1:5] == glyph[1:5]:
            clusters[-1].insert(len(clusters[-1]) if glyph.char != _LAM else 0, glyph)
        else:
            clusters.append([glyph])
    middles = [_find_middle(cluster[0]) for cluster in clusters]
    for mark in marks:
        middle = _find_middle(mark)
        after = bisect(middles, middle)
        nearest = min(range(max(0, after - 1), min(len(middles), after + 1)), key=lambda at: abs(middles[at] - middle))
        clusters[nearest].append(mark)
    return clusters


def _find_middle(glyph: Glyph) -> float:
    """Twice the middle, which sorts as well."""
    return glyph.left + glyph.right


def _find_kinds(chars: Sequence[str]) -> str:
    """For each character R for letters of these scripts, L for those of others, N for numbers, a blank for all else."""
    kinds = ["R" if RIGHT_TO_LEFT.match(c) else "N" if c.isdigit() else "L" if c.isalpha() else " " for c in chars]
    for index, char in enumerate(chars):
        if RIGHT_TO_LEFT.match(char) and not char.isalpha():
            kinds[index] = "N" if char.isdigit() else " "
    around = list(zip([" ", *kinds], [*kinds[1:], " "], strict=False))
    for index, char in enumerate(chars):
        before, after = around[index]
        within = char in _IN_NUMBERS and before == after == "N"
        if within or (char in _BEFORE_NUMBERS and after == "N") or (char in _BEHIND_NUMBERS and before == "N"):
            kinds[index] = "N"
    return "".join(kinds)


def _turn(kinds: str, start: int, end: int) -> list[int]:
    """The places of a part that is printed from right to left, as it is read: numbers and other scripts stay."""
    pieces = [range(*match.span()) for match in _KEPT.finditer(kinds, start, end)]
    return [place for piece in reversed(pieces) for place in piece]


def _turn_parts(kinds: str) -> list[int]:
    """The places of a line that is printed from left to right, as it is read."""
    order: list[int] = []
    for match in _TURNED.finditer(kinds):
        order += _turn(kinds, *match.span()) if match[0][0] == "R" else range(*match.span())
    return order


def _turn_brackets(line: list[Glyph | None]) -> list[Glyph | None]:
    """The same line; brackets open before a word and close behind it. Files have them as they are, or as they look."""
    text = "".join(glyph.char if glyph else " " for glyph in line)
    for index, glyph in enumerate(line):
        bracket = _BRACKETS.get(text[index])
        if glyph is None or bracket is None:
            continue
        opens = index == 0 or not text[index - 1].isalnum()
        closes = index + 1 == len(text) or not text[index + 1].isalnum()
        if opens != closes:
            line[index] = glyph._replace(char=bracket[closes])
    return line
