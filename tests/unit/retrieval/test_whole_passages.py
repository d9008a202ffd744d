"""What a search shows: neighbours in one piece, nothing twice, and no place lost to either."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from services.retrieval.domain.whole_passages import MAX_CHARS, join_passages
from shared.contracts.search import Passage, StageScores

PAGE = "\n".join(f"Line {n} of the page says {n * 7919}." for n in range(40))
LINES = [0, *(index + 1 for index, character in enumerate(PAGE) if character == "\n"), len(PAGE) + 1]


def make_passage(
    first: int, behind: int, *, score: float = 1.0, document: str = "d", page: int = 1, chunk: int = 0
) -> Passage:
    """The lines of a page from one to before another."""
    start, end = LINES[first], LINES[behind] - 1
    return Passage(
        document_id=document,
        chunk_id=chunk,
        title="T",
        page=page,
        start=start,
        end=end,
        text=PAGE[start:end],
        score=score,
        scores=StageScores(fused=score),
    )


def place(passages: Sequence[Passage]) -> list[tuple[str, int, int, int]]:
    return [(passage.document_id, passage.page, passage.start, passage.end) for passage in passages]


def test_neighbours_become_one_in_the_better_ones_place() -> None:
    """Whichever was found first, overlapping or not, and its number and score are those of the best part."""
    after, between, before = (
        make_passage(5, 9, score=0.9, chunk=1),
        make_passage(20, 25, score=0.8, chunk=7),
        make_passage(0, 6, score=0.7, chunk=0),
    )
    joined = join_passages([after, between, before], 5)

    assert [(passage.text, passage.chunk_id, passage.score) for passage in joined] == [
        (PAGE[: LINES[9] - 1], 1, 0.9),
        (between.text, 7, 0.8),
    ]


def test_a_passage_that_closes_a_gap_makes_one_of_three() -> None:
    """Its two neighbours need not stand side by side in the ranking."""
    ends = [make_passage(0, 3), make_passage(30, 33), make_passage(6, 9)]

    assert place(join_passages([*ends, make_passage(3, 6)], 3)) == [
        ("d", 1, 0, LINES[9] - 1),
        ("d", 1, LINES[30], LINES[33] - 1),
    ]


def test_no_passage_grows_without_end() -> None:
    """One page may hold a whole website: its passages stay apart where they would fill a prompt alone."""
    found = [
        make_passage(0, 1).model_copy(update={"start": n * 900, "end": n * 900 + 900, "text": f"{n:03}" * 300})
        for n in range(40)
    ]
    joined = join_passages(found, 5)

    assert len(joined) == 5
    assert max(len(passage.text) for passage in joined) <= MAX_CHARS


def test_other_pages_documents_and_what_lies_apart_stay_apart() -> None:
    """A line that is in no passage, such as a running head, is not made up."""
    apart = [
        make_passage(0, 3),
        make_passage(4, 6),
        make_passage(6, 8, page=2),
        make_passage(8, 9, document="e"),
    ]

    assert join_passages(apart, 9) == apart


def test_what_says_the_same_is_shown_once() -> None:
    """The best one, also of two documents, whatever the white space; a table's part with another head is another."""
    best = make_passage(0, 3, score=0.9)
    same = make_passage(0, 3, document="copy").model_copy(update={"text": best.text.replace("\n", " \n ")})
    other_head = make_passage(0, 3, document="table").model_copy(update={"table_head": "2019 2018"})

    assert join_passages([best, same, other_head], 5) == [best, other_head]


def test_what_is_joined_or_dropped_leaves_its_place_to_others() -> None:
    """Three are wanted, and three are there."""
    found = [make_passage(0, 3), make_passage(3, 6), make_passage(0, 3, document="copy"), make_passage(9, 12)]

    assert len(join_passages([*found, make_passage(20, 22), make_passage(30, 32)], 3)) == 3


@given(
    st.lists(st.tuples(st.integers(0, 39), st.integers(1, 6), st.integers(1, 2), st.sampled_from("de")), max_size=25),
    st.integers(1, 8),
)
def test_a_passage_is_its_pages_text(places: list[tuple[int, int, int, str]], count: int) -> None:
    """Whatever is joined: the text is that of its span, spans of a page lie apart, and nothing found before is lost."""
    found = [
        make_passage(first, min(first + lines, 40), page=page, document=document, chunk=number)
        for number, (first, lines, page, document) in enumerate(places)
    ]
    joined = join_passages(found, count)

    assert len(joined) <= count
    for passage in joined:
        assert passage.text == PAGE[passage.start : passage.end]
    for number, passage in enumerate(joined):
        for other in joined[:number]:
            if (passage.document_id, passage.page) == (other.document_id, other.page):
                assert passage.end + 2 < other.start or other.end + 2 < passage.start
    if found:
        assert joined[0].chunk_id == 0
