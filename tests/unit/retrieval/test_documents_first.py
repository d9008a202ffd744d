"""Documents that a question names: which they are, and what becomes of their passages."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.retrieval.domain.documents_first import BM25_LIFT, DENSE_LIFT, lift_named, merge_legs
from services.retrieval.domain.fusion import FusionWeights, fuse_hits
from services.retrieval.domain.named_documents import choose_clear, judge_documents
from services.retrieval.domain.question_names import find_names
from shared.registry.cards import Card, find_matches
from shared.vector_index.port import ChunkPayload, Hit, LegHits

CARDS: dict[str, Card] = {
    "nike-2018": {"nike": 1, "2018": 1, "10k": 1, "report": 0.2},
    "nike-2019": {"nike": 1, "2019": 1, "10k": 1, "report": 0.2},
    "bestbuy-2024q2": {"bestbuy": 1, "2024": 1, "q2": 1, "2024q2": 1, "10q": 1, "report": 0.2},
    "jnj-2022": {"johnson": 1, "~jj": 0.7, "2022": 1, "report": 0.2},
    "guide": {"=brimsundguide": 0.7, "brimsund": 1, "guide": 0.2, "@otterfin": 0.6, "2018": 0.5},
    "report": {"/report": 1, "report": 0.2},
    "pump": {"ax1234": 1, "mueller": 1},
    "march": {"/report201903": 1, "report": 0.2, "2019": 1},
    "april": {"/report201904": 1, "report": 0.2, "2019": 1},
    **{f"other-{n}": {f"name{n}x": 1, "2018": 0.5, "report": 0.2} for n in range(20)},
}


def judge(question: str) -> dict[str, float]:
    names = find_names(question)
    return judge_documents(names, find_matches(CARDS, names.terms))


def find_first(question: str) -> str | None:
    named = judge(question)
    return max(named, key=lambda document_id: named[document_id]) if named else None


def test_names_and_years_choose_the_document() -> None:
    """However the question writes them; the year tells apart what the name leaves open."""
    assert find_first("What is Nike's revenue in FY2018?") == "nike-2018"
    assert find_first("what was nike revenue in 2019") == "nike-2019"
    assert find_first("Did Best Buy open stores in the second quarter of fiscal 2024?") == "bestbuy-2024q2"
    assert find_first("How did JnJ's sales grow?") == find_first("Did J&J grow?") == "jnj-2022"
    assert find_first("How long does a charge of the Otterfin 4 take?") == "guide"
    assert choose_clear(judge("Compare Nike and Best Buy"))[:3] == ["bestbuy-2024q2", "nike-2018", "nike-2019"]


def test_a_year_alone_names_nothing() -> None:
    """Every text has years; a fiscal quarter names what it is the quarter of, as others have none."""
    assert judge("How many ships were sunk in 2019?") == {}
    assert find_first("How did cash change between FY2023 and Q2 of FY2024?") == "bestbuy-2024q2"


def test_a_file_is_named_by_its_whole_name() -> None:
    """Though its words are in every question and on other cards: with `.pdf`, or with its figures."""
    assert find_first("How much fuel was used according to report.pdf?") == "report"
    assert find_first("fuel in Report 2019-04") == find_first("fuel in report_2019-04.pdf") == "april"
    assert choose_clear(judge("fuel in report 2019-03")) == ["march"]
    assert find_first("What does the report say of fuel in 2019?") is None


def test_a_name_may_be_written_in_another_way() -> None:
    """With or without a sign or a blank, and with two letters for ü, as the card has it or not."""
    for question in ("What does AX1234 weigh?", "the weight of AX-1234", "the weight of AX 1234", "Where is Müller?"):
        assert find_first(question) == "pump", question


def test_what_all_cards_have_names_nothing() -> None:
    """Nor does a question without any name, nor one where there are no cards or a single one."""
    assert judge("What does the report say about taxes?") == {}
    names = find_names("What does Nike sell?")
    for cards in ({}, {"nike-2018": CARDS["nike-2018"]}):
        assert judge_documents(names, find_matches(cards, names.terms)) == {}


@given(st.text(max_size=200))
def test_sureness_is_a_share(question: str) -> None:
    """Whatever is asked."""
    assert all(0 < sureness <= 1 for sureness in judge(question).values())


def make_hits(scores: dict[str, float]) -> list[Hit]:
    hits = [
        Hit(point_id, score, ChunkPayload(point_id[0], "v", 0, "T", 1, 0, 1, "x")) for point_id, score in scores.items()
    ]
    return sorted(hits, key=lambda hit: -hit.score)


def test_passages_of_a_named_document_come_before_their_likes() -> None:
    """Those that are much nearer stay where they are; each leg's own scores are told."""
    legs = LegHits(make_hits({"a1": 0.7, "b1": 0.55, "c1": 0.5}), make_hits({"a1": 10, "c1": 8.5}))

    lifted = lift_named(legs, {"c": 1.0})

    assert [hit.point_id for hit in lifted.dense] == ["a1", "c1", "b1"]
    assert [hit.point_id for hit in lifted.bm25] == ["c1", "a1"]
    told = {c.point_id: (c.dense, c.bm25) for c in fuse_hits(lifted, FusionWeights(), 50, told=legs)}
    assert told == {"a1": (0.7, 10), "b1": (0.55, None), "c1": (0.5, 8.5)}


def test_what_is_found_twice_is_there_once() -> None:
    """The search within named documents adds what the one everywhere has not found."""
    everywhere = LegHits(make_hits({"a1": 0.7, "b1": 0.5}), [])
    within = LegHits(make_hits({"b1": 0.5, "b2": 0.6}), make_hits({"b3": 1}))

    merged = merge_legs(everywhere, within)

    assert [hit.point_id for hit in merged.dense] == ["a1", "b2", "b1"]
    assert [hit.point_id for hit in merged.bm25] == ["b3"]


HITS = st.dictionaries(
    st.sampled_from([f"{document}{n}" for document in "abcd" for n in range(5)]), st.floats(0, 1, width=16)
)


@given(HITS, HITS, st.dictionaries(st.sampled_from("abcdz"), st.floats(0.3, 1)))
def test_no_lift_is_larger_than_its_bound(
    dense: dict[str, float], bm25: dict[str, float], named: dict[str, float]
) -> None:
    """Nothing is lost or made, passages of one document keep their order, and what is that much nearer stays before."""
    legs = LegHits(make_hits(dense), make_hits(bm25))

    lifted = lift_named(legs, named)

    best = max(bm25.values(), default=0.0)
    for before, after, bound in (
        (legs.dense, lifted.dense, DENSE_LIFT),
        (legs.bm25, lifted.bm25, BM25_LIFT * best),
    ):
        scores = {hit.point_id: hit.score for hit in before}
        assert scores.keys() == {hit.point_id for hit in after}
        for first, second in pairwise(after):
            same = first.payload.document_id == second.payload.document_id
            assert scores[second.point_id] - scores[first.point_id] <= (0 if same else bound) + 1e-5
    if not named:
        assert lifted == legs
