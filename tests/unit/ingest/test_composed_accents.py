"""An accent that is printed over a letter is a part of it; one that is typed before a letter is not."""

from pathlib import Path

import pytest

from tests.printed_pdfs import ADVANCE, Print, print_pdf
from tests.unit.ingest.test_pdf_process import parse


async def read(prints: list[Print], folder: Path) -> str:
    parsed = await parse(print_pdf(prints), folder)
    text, layout = parsed.read_page(1).text, parsed.read_layout(1)
    assert [text[word.start : word.end] for word in layout.words] == text.split()
    return text


def print_over(before: str, accent: str, behind: str) -> list[Print]:
    """The accent stands over the first letter of what is behind it."""
    left = 50 + ADVANCE * len(before)
    return [Print(50, 700, before), Print(left - 0.5, 700, accent), Print(left, 700, behind)]


@pytest.mark.parametrize(
    ("before", "accent", "behind", "word"),
    [
        ("Schr", "\u00a8", "odinger", "Schrödinger"),
        ("d", "\u00b4", "efaut", "défaut"),
        ("fran", "\u00b8", "caise", "française"),
        ("gu", "\u00b4", "\u0131a", "guía"),
        ("voil", "`", "a", "voilà"),
    ],
)
async def test_an_accent_over_a_letter_is_a_part_of_it(
    before: str, accent: str, behind: str, word: str, tmp_path: Path
) -> None:
    """Whoever searches for the word writes it so."""
    assert await read(print_over(before, accent, behind), tmp_path) == word


@pytest.mark.parametrize("text", ["l\u00b4eau", "`echo`", "~/\u02dcnora", "\u00a8 o"])
async def test_what_is_typed_before_a_letter_stays(text: str, tmp_path: Path) -> None:
    """An apostrophe, a quotation mark of a program, the address of a home page."""
    assert await read([Print(50, 700, text)], tmp_path) == text
