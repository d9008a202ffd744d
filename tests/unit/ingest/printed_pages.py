"""Pages for property tests: a text, and boxes for some of its words."""

from collections.abc import Sequence

from hypothesis import strategies as st

from services.ingest.domain.pages import Box, Layout, WordBox
from services.ingest.domain.text import WORD, clean_text

TEXTS = st.text(alphabet=st.characters(codec="utf-8"), max_size=200).map(clean_text)
PROSE = st.lists(st.sampled_from(["the", "Battery", "4,200\n", "€", "lasts", "hours.\n"]), max_size=40).map(" ".join)
SIDES = st.floats(1, 2000) | st.sampled_from([612.0, 792.0, 595.2756, 14_400.0, 1_000_000.0])


@st.composite
def printed_pages(draw: st.DrawFn) -> tuple[str, Layout]:
    """A cleaned text and its layout, as the reader of PDFs makes them."""
    text = draw(TEXTS | PROSE.map(clean_text))
    width, height = draw(SIDES), draw(SIDES)
    words = []
    for match in WORD.finditer(text):
        for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2]))):
            left, right = sorted((draw(st.floats(0, width)), draw(st.floats(0, width))))
            top, bottom = sorted((draw(st.floats(0, height)), draw(st.floats(0, height))))
            if left < right and top < bottom:
                words.append(WordBox(*match.span(), Box(left, top, right, bottom)))
    return text, Layout(width, height, words)


def print_lines(lines: Sequence[tuple[float, str]], *, height: float = 792.0) -> tuple[str, Layout]:
    """A page whose lines stand where they are told to: their top in points, and their words, parted as typed.

    Each character is 5 points wide and the print is 10 points high, so that two blanks part columns.
    """
    text, words = "", list[WordBox]()
    for top, line in lines:
        text += "\n" if text else ""
        first = True
        for match in WORD.finditer(line):
            text += "" if first else " "
            first = False
            left = 50.0 + 5 * match.start()
            box = Box(left, top, left + 5 * len(match[0]), top + 10)
            words.append(WordBox(len(text), len(text) + len(match[0]), box))
            text += match[0]
    return text, Layout(1000.0, height, words)
