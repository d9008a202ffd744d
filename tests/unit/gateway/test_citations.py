"""No token is lost and no wrong citation passes, whatever the pieces in which a model's text arrives."""

import re
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.gateway.answers.citations import MAX_MARKER_CHARS, CitationFilter, remove_markers

MARKER = re.compile(r"\[[ \t]*[+-]?\d[\d,;+\-– \t]*\]", re.ASCII)
LIST = re.compile(r"\[[ \t]*[0-9]+(?:[ \t]*[,;][ \t]*[0-9]+)*[ \t]*\]")
TEXTS = st.text(st.sampled_from("[]0123479,;-– ab.\n"), max_size=60) | st.text(max_size=60)
COUNTS = st.integers(0, 12)


def run(pieces: list[str], count: int) -> tuple[str, set[int]]:
    citations = CitationFilter(count)
    text = "".join(citations.feed(piece) for piece in pieces) + citations.finish()
    return text, citations.cited


@pytest.mark.parametrize(
    ("text", "expected", "cited"),
    [
        ("A [1] and [2].", "A [1] and [2].", {1, 2}),
        ("A [4] b", "A  b", set()),
        ("[0][-1][03]", "[03]", {3}),
        ("[1, 7]", "[1]", {1}),
        ("[7;2 ; 1]", "[2, 1]", {1, 2}),
        ("[1][9]", "[1]", {1}),
        ("[1-3] [2–9]", "[1-3] ", {1, 2, 3}),
        ("[3-1]", "", set()),
        ("[2024] was a year", " was a year", set()),
        ("[sic] [a1] [] [ ] [1a] [^1] (1)", "[sic] [a1] [] [ ] [1a] [^1] (1)", set()),
        ("a[1](http://x)", "a[1](http://x)", {1}),
        ("[[1]]", "[[1]]", {1}),
        ("tail [1", "tail [1", set()),
        ("[1\n]", "[1\n]", set()),
    ],
)
def test_markers_that_name_no_passage_go(text: str, expected: str, cited: set[int]) -> None:
    """Valid numbers stay, invalid ones go, other brackets are text."""
    assert run([text], 3) == (expected, cited)


def test_a_marker_is_removed_across_piece_borders() -> None:
    """As tokens really split it."""
    assert run(["See ", "[", "1", "2", "]", "."], 3) == ("See .", set())
    assert run(["See ", "[", "1", "2", "]", "."], 12) == ("See [12].", {12})


@pytest.mark.parametrize("text", ["[[9]7]", "[1, [9]9]", "[[[9]8]7]", "[9[9]]", "[" * 90 + "9]" * 90])
def test_removing_one_marker_does_not_form_another(text: str) -> None:
    """Nested brackets cannot smuggle a wrong citation through."""
    assert not MARKER.search(run([text], 3)[0])


def test_a_lone_bracket_does_not_hold_text_back() -> None:
    """What follows shows at once that it is no marker."""
    citations = CitationFilter(3)
    assert citations.feed("x [") == "x "
    assert citations.feed("see") == "[see"


def test_hold_back_is_bounded() -> None:
    """Endless digits after a bracket come out."""
    citations = CitationFilter(3)
    sent = sum(len(citations.feed(char)) for char in "[" + "1" * 500)
    assert sent >= 501 - MAX_MARKER_CHARS


@given(TEXTS, COUNTS, st.lists(st.integers(0, 60)))
@example("a[1][9]", 3, [1, 2, 3, 4, 5, 6])
def test_the_pieces_do_not_matter(text: str, count: int, cuts: list[int]) -> None:
    """Any split gives the same text and the same citations as one piece."""
    borders = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    pieces = [text[a:b] for a, b in pairwise(borders)]
    assert run(pieces, count) == run([text], count)
    assert run(list(text), count) == run([text], count)


@given(TEXTS, COUNTS)
def test_nothing_but_wrong_markers_goes(text: str, count: int) -> None:
    """No wrong marker is left, and without nested brackets the output is the input minus the wrong markers."""
    output, cited = run([text], count)
    for marker in LIST.finditer(output):
        assert set(map(int, re.findall(r"[0-9]+", marker.group()))) <= set(range(1, count + 1))
    assert cited <= set(range(1, count + 1))
    single = re.sub(r"\[(\d+)\]", lambda m: m[0] if 1 <= int(m[1]) <= count else "", text, flags=re.ASCII)
    if not re.search(r"\[[^\]]*\[|\[[^\]]*[,;+\-– \t][^\]]*\]", text):
        assert output == single


@given(st.text().filter(lambda text: "[" not in text), COUNTS)
def test_text_without_brackets_passes_at_once(text: str, count: int) -> None:
    """Nothing waits when nothing can be a marker."""
    assert CitationFilter(count).feed(text) == text


@given(TEXTS)
def test_quotations_bring_no_markers_along(text: str) -> None:
    """A bibliography number in a passage must not become a citation of ours."""
    assert not re.search(r"\[\d{1,9}\]", remove_markers(text), re.ASCII)
