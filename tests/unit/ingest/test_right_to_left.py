"""Hebrew and Arabic come out as they are read, in whichever order a file prints them, and boxes stay at their words."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from services.ingest.domain.pages import Box
from services.ingest.domain.right_to_left import RIGHT_TO_LEFT
from services.ingest.domain.text import clean_text
from tests.pdfs import make_pdf
from tests.printed_pdfs import ADVANCE, Print, print_pdf
from tests.unit.ingest.test_pdf_process import parse

RIGHT_EDGE = 550.0
LINES = (
    ("המנוף", "מרים", "40", "טון", "במרחק", "12.5", "מטר."),
    ("תקלה", "E17", "(רוח)", "לפי", "Meridian Field Guide", "עמוד", "3"),
    ("המחיר", "$1,200", "ועוד", "17%", "מע״מ"),
    ("الرافعة", "ترفع", "40", "طنا", "على", "بعد", "12", "مترا."),
)


def print_line(pieces: Sequence[str], bottom: float, way: str) -> Iterator[Print]:
    """Each piece stands left of the one before; within one of another script it goes from left to right."""
    right = RIGHT_EDGE
    for piece in pieces:
        left = right - ADVANCE * len(piece)
        turned = [{"(": ")", ")": "("}.get(char, char) for char in piece]  # brackets as they look
        if not RIGHT_TO_LEFT.search(piece):
            yield Print(left, bottom, piece)
        elif way == "as it looks":
            yield Print(left, bottom, turned[::-1])
        elif way == "as it is read":
            yield Print(right - ADVANCE, bottom, piece, backwards=True)
        else:
            yield from (Print(right - ADVANCE * n, bottom, char) for n, char in enumerate(piece, start=1))
        right = left - ADVANCE


@pytest.mark.parametrize("way", ["as it looks", "as it is read", "letter by letter"])
@pytest.mark.parametrize("from_left", [False, True])
async def test_lines_come_out_as_they_are_read(way: str, from_left: bool, tmp_path: Path) -> None:
    """Also when the pieces of a line are printed beginning with the leftmost one."""
    prints: list[Print] = []
    for number, line in enumerate(LINES):
        printed = list(print_line(line, 700 - 20 * number, way))
        prints += reversed(printed) if from_left else printed

    read = await parse(print_pdf(prints), tmp_path)

    text, layout = read.read_page(1).text, read.read_layout(1)
    assert text == "\n".join(map(" ".join, LINES))
    assert [text[word.start : word.end] for word in layout.words] == text.split()
    for (_, _, box), match in zip(layout.words, re.finditer(r"\S+", text), strict=True):
        assert box.right - box.left == pytest.approx(ADVANCE * len(match[0]), abs=ADVANCE)
    first, second = layout.words[:2]
    assert first.box.right == pytest.approx(RIGHT_EDGE, abs=2)
    assert second.box.right == pytest.approx(RIGHT_EDGE - ADVANCE * 6, abs=2)


async def test_a_page_from_left_to_right_keeps_its_order(tmp_path: Path) -> None:
    """Words of Hebrew within a line of English are turned, the line is not; a line of Hebrew is."""
    title = "שנת הגג"
    prints = [
        Print(50, 700, f"The book {title[::-1]} is out of print, and this is all that we know about it."),
        Print(50, 680, f"{title[::-1]}"),
        Print(50, 660, "It was sold in 40 shops."),
    ]

    read = await parse(print_pdf(prints), tmp_path)

    assert read.read_page(1).text == (
        f"The book {title} is out of print, and this is all that we know about it.\n{title}\nIt was sold in 40 shops."
    )


@pytest.mark.parametrize(
    "chars",
    [
        pytest.param("\ufee1\ufefc\ufeb3", id="forms and a ligature, as they look"),
        pytest.param(("م", "لا", "س"), id="a sign for two letters, as it looks"),
    ],
)
async def test_arabic_forms_become_letters(chars: Sequence[str], tmp_path: Path) -> None:
    """So that a word is the same however its file writes it."""
    read = await parse(print_pdf([Print(100, 700, chars)]), tmp_path)

    assert read.read_page(1).text == "سلام"


def test_forms_become_letters_in_notes_too() -> None:
    """But what stands for a phrase, and other scripts' signs, stay."""
    assert clean_text("\ufeb3\ufefc\ufee1 \ufdfa ½ ﬁ") == "سلام \ufdfa ½ ﬁ"


async def test_vowel_signs_stay_at_their_letters(tmp_path: Path) -> None:
    """They stand over or under them, and come before or behind them in the file."""
    prints = [Print(100, 700, "םולש"), Print(100 + 3 * ADVANCE, 700, "\u05b8")]

    read = await parse(print_pdf(prints), tmp_path)

    assert read.read_page(1).text == "ש\u05b8לום"


async def test_print_that_is_turned_is_left_alone(tmp_path: Path) -> None:
    """Boxes of a line that goes up say nothing about left and right."""
    upwards = [Print(100, 300 + 8 * n, char) for n, char in enumerate("םולש")]

    read = await parse(print_pdf(upwards), tmp_path)

    assert sorted(read.read_page(1).text.replace("\n", "")) == sorted("שלום")
    assert Box(*read.read_layout(1).words[0].box).left == pytest.approx(100, abs=2)


async def test_other_pages_are_not_touched(tmp_path: Path) -> None:
    """Nothing is read letter by letter there."""
    read = await parse(make_pdf(["Größe: 40 t\nÜber 10 m"]), tmp_path)

    assert read.read_page(1).text == "Größe: 40 t\nÜber 10 m"
