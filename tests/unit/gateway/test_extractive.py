"""The extractive answer quotes, cites and finds; it says so when the passages do not hold the answer."""

import re
import threading
import time
from collections.abc import Sequence
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.answers.citations import CitationFilter
from services.gateway.answers.prompt import build_prompt
from services.gateway.extractive.answer import answer_extractively
from services.gateway.extractive.brackets import drop_bracketed_numbers
from services.gateway.extractive.extractive_model import ExtractiveModel
from services.gateway.extractive.words import stem
from services.gateway.ports import Completion, LanguageModel, TextDelta
from shared.contracts.questions import NOT_FOUND_ANSWER
from shared.contracts.search import GlossaryTerm, Passage, StageScores
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
        ("Who is the CTO?", "CTO Ravi Menon [1]"),
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


PUMPS = """The housing {}6305 of Mr {} weighs 29 kg. The housing {}7001 of Ms Jones weighs 17 kg.
The invoice over {} euros was paid in May. The invoice over 2,877.50 euros was paid in June.
"""


@pytest.mark.parametrize("written", ["AX", "AX-", "AX ", "AX/"])
@pytest.mark.parametrize("asked", ["AX", "AX-", "AX "])
def test_a_code_is_the_same_in_every_form(asked: str, written: str) -> None:
    """And one that is not there is not answered by another one."""
    passages = make_passages(PUMPS.format(written, "Müller", written, "1,034.00"))

    assert "weighs 29 kg" in answer_extractively(f"How much does housing {asked}6305 weigh?", passages)
    assert answer_extractively(f"What does the {asked}6306 cost?", passages) == NOT_FOUND_ANSWER


@pytest.mark.parametrize("written", ["1034", "1,034.00", "1.034,00", "1'034"])
@pytest.mark.parametrize("asked", ["1034", "1,034", "1,034.00", "1.034,00", "1'034"])
def test_a_figure_is_the_same_in_every_notation(asked: str, written: str) -> None:
    passages = make_passages(PUMPS.format("AX", "Müller", "AX", written))

    assert "in May" in answer_extractively(f"When was the invoice over {asked} euros paid?", passages)


@pytest.mark.parametrize(("asked", "written"), [("Müller", "Mueller"), ("Mueller", "Müller")])
def test_a_name_may_have_two_letters_for_one(asked: str, written: str) -> None:
    passages = make_passages(PUMPS.format("AX", written, "AX", "1034"))

    assert "29 kg" in answer_extractively(f"How heavy is the housing of Mr {asked}?", passages)


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
    assert answer == "The melting point of gallium is 29.8 degrees by most measurements . [2]"


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
        ("Who manages the fleet?", "Ada Quist"),
        ("Can I call somebody while driving?", "Do not use a phone while driving."),
    ],
)
def test_a_question_may_use_other_words_than_the_document(question: str, expected: str) -> None:
    """Synonyms and other forms of a word."""
    assert expected in answer_extractively(question, make_passages(FLEET))


@pytest.mark.parametrize(
    "question",
    ["How many helicopters do you have?", "Who is the Head of IT?", "What happens if I am caught with a gun?"],
)
def test_a_thing_that_is_nowhere_is_not_answered_by_the_rest_of_the_question(question: str) -> None:
    """Verbs and adjectives may be put otherwise, a noun without any trace asks about something else."""
    assert answer_extractively(question, make_passages(FLEET)) == NOT_FOUND_ANSWER


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


STATEMENT = """Consolidated statement of cash flows
(Millions) 2018 2017 2016
Net cash provided by operating activities 6,439 6,240 6,662
Purchases of property, plant and equipment (PP&E) (1,577) (1,373) (1,420)
Proceeds from sale of businesses 846 1,065 142
"""
PURCHASES = ["purchases of property, plant and equipment", "capital expenditures"]


@pytest.mark.parametrize(
    ("question", "known"),
    [
        ("What was capex in 2018?", GlossaryTerm(term="capex", phrases=PURCHASES)),
        ("How high was the Capital  outlay in 2018?", GlossaryTerm(term="Capital  outlay", phrases=PURCHASES)),
        ("What was the AIP in 2018?", GlossaryTerm(term="AIP", phrases=["Purchase of Property, Plant And Equipment"])),
    ],
)
def test_what_a_glossary_says_for_a_term_stands_for_it(question: str, known: GlossaryTerm) -> None:
    """Any of its phrases, for each word of the term; without it the question is about something else."""
    passages = make_passages("Boats are painted every spring.", STATEMENT)

    assert answer_extractively(question, passages) == NOT_FOUND_ANSWER
    assert "Purchases of property, plant and equipment (PP&E) (1,577)" in answer_extractively(
        question, passages, [known]
    )


@pytest.mark.parametrize(
    "text",
    [
        STATEMENT.replace("Purchases", "Sales"),
        "Property is guarded at night. Equipment is at the plant, and purchases are not, in 2018.",
    ],
)
def test_a_part_of_a_phrase_is_not_what_was_asked(text: str) -> None:
    """Nor are its words in another order: they are words of many sentences."""
    known = GlossaryTerm(term="capex", phrases=["purchases of property, plant and equipment"])

    assert answer_extractively("What was capex in 2018?", make_passages(text), [known]) == NOT_FOUND_ANSWER


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
        source = squeeze(drop_bracketed_numbers(strip_invisible(texts[int(n) - 1])))
        assert all(squeeze(line) in source for line in text.splitlines())
    citations = CitationFilter(len(texts))
    assert citations.feed(answer) + citations.finish() == answer


@settings(deadline=None)
@given(QUESTIONS, st.lists(LINES, min_size=1, max_size=4), st.sampled_from(["plan", "Large", "X Y", "history since"]))
def test_what_a_glossary_says_and_no_passage_changes_nothing(question: str, texts: list[str], term: str) -> None:
    """What is found without it, and what is not."""
    passages = make_passages(*texts)
    known = [GlossaryTerm(term=term, phrases=["purchases of property", "plan of property"])]

    assert answer_extractively(question, passages, known) == answer_extractively(question, passages)


def squeeze(text: str) -> str:
    return "".join(text.split())


@given(st.text(st.sampled_from("a1 ,-^[]【】［］"), max_size=60))
def test_only_brackets_with_numbers_are_left_out(text: str) -> None:
    """What stands in none is kept, in order; none that could be taken for a citation is."""
    kept = drop_bracketed_numbers(text)
    assert re.search(r"[\[【［][\d ,^-]*\d[\d ,^-]*[\]】］]", kept) is None
    characters = iter(text)
    assert all(char in characters for char in kept)
    if not any(char in text for char in "[【［"):
        assert kept == text


def measure_work(question: str, passages: list[Passage], known: Sequence[GlossaryTerm] = ()) -> float:
    """Return the least seconds of CPU of some runs, with no word known from the run before."""
    times = []
    for _ in range(3):
        stem.cache_clear()
        started = time.thread_time()
        answer_extractively(question, passages, known)
        times.append(time.thread_time() - started)
    return min(times)


def make_prose(length: int, seed: int) -> str:
    """Return sentences of nine words that are all different."""
    words = (f"{chr(97 + n * seed % 26)}{n}rent" + "." * (n % 9 == 8) for n in range(length // 5))
    return " ".join(word.capitalize() if n % 9 == 0 else word for n, word in enumerate(words))[:length]


HOSTILE_QUESTIONS = {
    "one word of capitals": "A" * 4000,
    "acronyms": " ".join(chr(65 + n % 26) + chr(65 + n // 26 % 26) + chr(65 + n // 676) for n in range(1000)),
    "commas": "," * 4000,
    "brackets": "[(" * 2000,
    "digits": "1" * 4000,
    "years": "between 2019 and 2020 from " * 150,
    "possessives": "a's " * 1000,
}


@pytest.mark.parametrize("question", HOSTILE_QUESTIONS.values(), ids=HOSTILE_QUESTIONS)
def test_no_question_makes_more_work_than_its_length(question: str) -> None:
    """Measured against prose of the same length over the same 50 passages, so that no machine is too slow."""
    passages = make_passages(*(make_prose(1000, seed) for seed in range(3, 53)))
    assert measure_work(question, passages) < 3 * measure_work(make_prose(len(question), 2), passages)


def test_a_term_that_is_repeated_makes_no_more_work() -> None:
    """Whatever a glossary has for it is looked for once."""
    passages = make_passages(*(make_prose(1000, seed) for seed in range(3, 53)))
    known = [GlossaryTerm(term="capex", phrases=[f"phrase {n}" for n in range(20)])] * 700

    def measure(terms: list[GlossaryTerm]) -> float:
        return measure_work("capex " * len(terms), passages, terms)

    assert measure(known) < 3 * measure(known[:1])


HOSTILE_TEXTS = {
    "no spaces": "a" * 100_000,
    "commas": "," * 100_000,
    "opening brackets": "[" * 100_000,
    "nested numbers": "[1" * 30_000 + "]" * 30_000,
    "citations": "[1] " * 25_000,
    "digits": "1" * 100_000,
    "single digits": "1 " * 50_000,
    "short lines": "x\n" * 50_000,
    "questions": "Is it?\n" * 15_000,
    "introductions": "a:\n" * 33_000,
    "deeper and deeper bullets": "\n".join(" " * (n % 300) + "- x" for n in range(800)),
    "bullets in a row": "- " * 50_000,
    "initials": "A. " * 33_000,
    "quotation marks": '."' * 50_000,
    "accents": "a" + "\u0301" * 99_999,
    "hyphens": "a-" * 50_000,
    "possessives": "a's " * 25_000,
    "years": "1990 x\n" * 14_000,
}


@pytest.mark.parametrize("text", HOSTILE_TEXTS.values(), ids=HOSTILE_TEXTS)
def test_no_passage_makes_more_work_than_its_length(text: str) -> None:
    """However long a passage is, no pattern backtracks over it and nothing is compared with everything."""
    question = "What does the boiler of the north wing cost? " * 20
    prose = [make_prose(len(text), seed) for seed in range(3, 8)]
    assert measure_work(question, make_passages(*[text] * 5)) < 5 * measure_work(question, make_passages(*prose))


async def test_the_model_streams_words_and_one_completion() -> None:
    """The words in a row are the whole answer; the computing is off the event loop."""
    model: LanguageModel = ExtractiveModel()
    assert (model.provider, model.model) == ("extractive", "extractive")
    prompt = build_prompt("What does the Large plan cost?", make_passages(PLANS))
    threads: list[threading.Thread] = []

    def answer(question: str, passages: list[Passage], known: list[GlossaryTerm]) -> str:
        threads.append(threading.current_thread())
        return answer_extractively(question, passages, known)

    with patch("services.gateway.extractive.answer.answer_extractively", answer):
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
