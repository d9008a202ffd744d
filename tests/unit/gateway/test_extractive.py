"""The extractive answer quotes, cites and finds; it says so when the passages do not hold the answer."""

import re
import threading
import time
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.answers.citations import CitationFilter, remove_markers
from services.gateway.answers.prompt import build_prompt
from services.gateway.extractive.extractive import answer_extractively
from services.gateway.extractive.extractive_model import ExtractiveModel
from services.gateway.ports import Completion, LanguageModel, TextDelta
from shared.contracts.questions import NOT_FOUND_ANSWER
from shared.contracts.search import Passage, StageScores
from shared.invisible_text import strip_invisible

OFFICERS = """Company
Founded 3 May 2011 in Porto
Chief Executive Officer Inês Duarte
CTO Ravi Menon
Staff 112
"""
PLANS = """Plans
Every plan has a portal and a welcome call.
Plan Monthly fee Reply within Calls
Small €10 2 days 100
Medium €25 8 hours 500
Large €90 1 hour, 24/7 Unlimited
Contracts
A contract may be cancelled with 45 days' notice. Leaving earlier costs two monthly fees.
"""
HISTORY = """Our history
2011 Founded in a garage in Porto.
2016 First lamp, Lumo-2, sold in Spain.
2020 Second factory opens in Braga.
2023 Lumo-7 wins the Red Lamp award.
Glossary
MTBF Mean time between failures; for the Lumo-7, 9,100 hours.
"""


def make_passages(*texts: str) -> list[Passage]:
    return [
        Passage(
            document_id="d",
            chunk_id=n,
            title="lamps.pdf",
            page=n + 1,
            start=0,
            end=len(text),
            text=text,
            score=1.0 / (n + 1),
            scores=StageScores(dense=0.4, bm25=1.0, fused=1.0 / (n + 1)),
        )
        for n, text in enumerate(texts)
    ]


def ask(question: str) -> str:
    return answer_extractively(question, make_passages(OFFICERS, PLANS, HISTORY))


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Who is the CEO?", "Chief Executive Officer Inês Duarte [1]"),
        ("Who is the Chief Technology Officer?", "CTO Ravi Menon [1]"),
        ("When was the company founded?", "Founded 3 May 2011 in Porto [1]"),
        ("How many employees are there?", "Staff 112 [1]"),
        ("What does the Large plan cost?", "Large €90 1 hour, 24/7 Unlimited [2]"),
        ("Can I cancel my contract?", "A contract may be cancelled with 45 days' notice. [2]"),
        ("What is the mean time between failures of the Lumo-7?", "9,100 hours. [3]"),
        ("What is the MTBF?", "9,100 hours. [3]"),
    ],
)
def test_questions_are_answered(question: str, expected: str) -> None:
    """By the line that holds the answer, cited."""
    assert expected in ask(question)


@pytest.mark.parametrize(
    "question",
    [
        "Who is the Chief Financial Officer?",
        "What is the stock ticker?",
        "What does the Gigantic plan cost?",
        "When was the Lumo-5 released?",
        "How do I bake bread?",
        "???",
        "",
    ],
)
def test_what_is_not_there_is_not_answered(question: str) -> None:
    """Also where the passages hold something close to it."""
    assert ask(question) == NOT_FOUND_ANSWER


def test_no_passages_hold_no_answer() -> None:
    """Nothing to quote from."""
    assert answer_extractively("Who?", []) == NOT_FOUND_ANSWER


def test_a_row_comes_with_its_header() -> None:
    """So that the answer can be read."""
    assert ask("What is the monthly fee of the Medium plan?").startswith("Plan Monthly fee Reply within Calls\n")


def test_a_list_is_complete_and_within_the_years() -> None:
    """All items from the year on, none before it."""
    answer = ask("List all events of the history from 2016 onwards")
    assert [line[:4] for line in answer.splitlines()] == ["2016", "2020", "2023"]


def test_page_headers_neither_answer_nor_part_a_table_from_its_title() -> None:
    """What stands on every page but for its figures is no content."""
    texts = [f"Lamp handbook for the team\nPage {n}\n{text}" for n, text in enumerate((OFFICERS, PLANS), start=1)]
    answer = answer_extractively("What is the monthly fee of the Medium plan?", make_passages(*texts))
    assert answer == "Plan Monthly fee Reply within Calls\nMedium €25 8 hours 500 [2]"
    assert "Page" not in answer_extractively("Which page is the lamp handbook?", make_passages(*texts))


def test_both_sides_of_a_comparison_are_answered() -> None:
    """Under one header."""
    answer = ask("Compare the Small and the Large plan")
    assert "Small €10" in answer
    assert "Large €90" in answer
    assert answer.count("Plan Monthly fee") == 1


def test_numbers_in_brackets_of_a_passage_are_no_citations() -> None:
    """A paper's own reference must not look like a citation of ours."""
    passages = make_passages(
        "Nothing here.", "The melting point of gallium is 29.8 degrees [1] by most measurements [44]."
    )
    answer = answer_extractively("What is the melting point of gallium?", passages)
    assert answer == "The melting point of gallium is 29.8 degrees  by most measurements . [2]"


def test_copies_of_a_passage_are_no_page_headers() -> None:
    """The same lines in two documents, or on two pages that say nothing else, are still text to answer from."""
    text = "Fault codes\nCode E17 means that the anemometer is iced up."
    one, two, three = make_passages(text, text, text)
    two = two.model_copy(update={"document_id": "copy"})
    three = three.model_copy(update={"page": three.page + 1})

    for passages in ([one], [one, two], [one, three], [one, two, three]):
        assert "iced up" in answer_extractively("What does fault code E17 mean?", passages)


FLEET = """Our fleet
We keep 58 lorries and two ferries. The managing director is Ada Quist.
If you are ill
Ring the office before your shift starts. Bring a doctor's note on the third day.
Rules at the wheel
Do not use a phone while driving. A first breach leads to a written warning.
Back-ups are made every six hours.
Rating Score Consequence
Good 80 to 100 none
Watch 70 to 79 second visit within 30 days
"""


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("How many trucks do you have?", "58 lorries"),
        ("Who is the CEO?", "Ada Quist"),
        ("How often is a backup made?", "every six hours"),
        ("What do I have to do when I'm sick?", "Ring the office before your shift starts. [1] Bring"),
        ("What happens if I am caught with a phone at the wheel?", "written warning"),
        ("What happens when the rating has a score of 75?", "second visit within 30 days"),
    ],
)
def test_a_question_may_use_other_words_than_the_document(question: str, expected: str) -> None:
    """Synonyms, acronyms, other spellings, numbers within a range; and what is to be done takes several sentences."""
    assert expected in answer_extractively(question, make_passages(FLEET))


@pytest.mark.parametrize(
    "question",
    ["How many helicopters do you have?", "Who is the Head of IT?", "What happens if I am caught with a gun?"],
)
def test_a_thing_that_is_nowhere_is_not_answered_by_the_rest_of_the_question(question: str) -> None:
    """Verbs and adjectives may be put otherwise, a noun without any trace asks about something else."""
    assert answer_extractively(question, make_passages(FLEET)) == NOT_FOUND_ANSWER


def test_things_that_are_columns_are_compared_row_by_row() -> None:
    """Not by the one row that matches best."""
    table = (
        "Levels of cover\nHarbour Lighthouse Castle\nBuildings £400 £750 £900\nGarden £7 £20 £60\nPremium £18 £26 £37"
    )
    answer = answer_extractively("Compare Harbour and Lighthouse", make_passages(table))
    assert answer.splitlines() == [
        "Harbour Lighthouse Castle",
        "Buildings £400 £750 £900 [1]",
        "Garden £7 £20 £60 [1]",
        "Premium £18 £26 £37 [1]",
    ]


def test_an_item_comes_with_the_line_that_introduces_it() -> None:
    """Alone it would say the opposite."""
    cover = "Cover\nWe do not pay for:\n• damage by pets that chew;\n• rust and rot.\nClaims\nCall us."
    answer = answer_extractively("Is damage by pets covered?", make_passages(cover))
    assert answer == "We do not pay for:\n• damage by pets that chew; [1]"


def test_a_timeline_need_not_say_that_it_is_one() -> None:
    """Its entries hold none of the question's words."""
    story = "Our story\n• 2008: A shop opens.\n• 2016: The 25th shop.\n• 2023: Loyalty scheme."
    answer = answer_extractively("List the chain's milestones from 2016 onwards", make_passages("A chain.", story))
    assert answer == "• 2016: The 25th shop. [2]\n• 2023: Loyalty scheme. [2]"


def test_another_document_does_not_answer_for_the_one_that_is_named() -> None:
    """Of two companies only the one that is asked about is quoted, and not at all when it does not say."""
    lumo, other = make_passages(OFFICERS, "Velomar\nVelomar rents out bicycles.\nSeat Trieste")
    other = other.model_copy(update={"document_id": "other", "title": "velomar.pdf"})

    assert answer_extractively("Who is the CEO of Velomar?", [lumo, other]) == NOT_FOUND_ANSWER
    assert "Inês Duarte" in answer_extractively("Who is the CEO?", [lumo, other])


def test_a_name_is_preferred_where_a_person_is_asked_for() -> None:
    """A line that only repeats the question names nobody."""
    text = "Handbook\nWelcome to Brightfell Freight.\nThe company\nDirector Harriet Oyelaran\nSeat Leeds"
    assert "Harriet Oyelaran" in answer_extractively("Who runs Brightfell Freight?", make_passages(text))


LINES = st.lists(
    st.text(max_size=50)
    | st.text(st.sampled_from("abc XY19 .,:?•[]\n€-"), max_size=80)
    | st.sampled_from([*PLANS.splitlines(), *HISTORY.splitlines(), *OFFICERS.splitlines()]),
    max_size=12,
).map("\n".join)
QUESTIONS = st.text(max_size=60) | st.sampled_from(
    ["What does the Large plan cost?", "List all plans", "Compare Small and Large", "history since 2016", "X Y a b c 1"]
)


@settings(deadline=None, max_examples=200)
@given(QUESTIONS, st.lists(LINES, min_size=1, max_size=4))
def test_every_answer_is_made_of_cited_verbatim_spans(question: str, texts: list[str]) -> None:
    """Each piece stands in the passage it cites; nothing else is in the answer, and no marker is wrong."""
    answer = answer_extractively(question, make_passages(*texts))
    if answer == NOT_FOUND_ANSWER:
        return
    pieces = re.findall(r"(.*?) \[(\d+)\](?:\s|$)", answer, re.DOTALL)
    assert "".join("".join(f"{text}[{n}]".split()) for text, n in pieces) == "".join(answer.split())
    for text, n in pieces:
        assert 1 <= int(n) <= len(texts)
        passage = strip_invisible(texts[int(n) - 1])
        # A number in brackets is dropped, unless it is parted by a line end that parts two pieces, too.
        sources = (squeeze(remove_markers(" ".join(passage.split()))), squeeze(passage))
        assert all(any(squeeze(line) in source for source in sources) for line in text.splitlines())
    citations = CitationFilter(len(texts))
    assert citations.feed(answer) + citations.finish() == answer


def squeeze(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("junk", ["a b " * 50_000, "x\n" * 50_000, "[1] " * 50_000, "Who is A? " * 20_000, "́" * 99_999])
def test_long_input_takes_bounded_time(junk: str) -> None:
    """Passages and questions far larger than ours."""
    started = time.perf_counter()
    answer_extractively(f"{'Who is the head of a b x? ' * 150}"[:4000], make_passages(*[junk] * 10))
    assert time.perf_counter() - started < 20


async def test_the_model_streams_words_and_one_completion() -> None:
    """The words in a row are the whole answer; the computing is off the event loop."""
    model: LanguageModel = ExtractiveModel()
    assert (model.provider, model.model) == ("extractive", "extractive")
    prompt = build_prompt("What does the Large plan cost?", make_passages(PLANS))
    threads: list[threading.Thread] = []

    def answer(question: str, passages: list[Passage]) -> str:
        threads.append(threading.current_thread())
        return answer_extractively(question, passages)

    with patch("services.gateway.extractive.extractive_model.answer_extractively", answer):
        events = [event async for event in model.stream(prompt)]
    *deltas, last = events
    assert last == Completion("stop", provider="extractive", model="extractive")
    words = [delta.text for delta in deltas if isinstance(delta, TextDelta)]
    assert len(words) == len(deltas) > 5
    assert all(words)
    assert "".join(words) == answer_extractively(prompt.question, prompt.passages)
    assert "Large €90" in "".join(words)
    assert threading.main_thread() not in threads
    await model.close()
