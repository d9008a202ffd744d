"""A citation is called unsupported only where something of its sentence is in none of the passages that it cites."""

import re
import time
from collections.abc import AsyncGenerator, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from evals.evidence import SENTENCES, check_whole, judge_sentence, make_passage, read_sentences
from services.gateway.answers import evidence
from services.gateway.answers.citations import CitationFilter, group_places
from services.gateway.answers.claims import PlacedMarker
from services.gateway.answers.evidence import MAX_CITATIONS, MAX_LOOKUPS, EvidenceCheck, summarise
from services.gateway.answers.unsupported_citations import MAX_HELD_CHARS, remove_unsupported
from services.gateway.evidence.claim_items import MAX_ITEMS, Item, look_up
from services.gateway.evidence.found import Lookup
from services.gateway.evidence.passage_index import PassageIndex
from services.gateway.extractive.answer import answer_extractively
from services.gateway.ports import Answering, Completion, TextDelta
from services.gateway.runs.collect import move_citations
from shared.contracts.questions import Citation

CASES = [case for file in sorted(SENTENCES.glob("*.jsonl")) for case in read_sentences(file)]
MONTH_NAMES = "January February March April May June July August September October November December"
MONTHS = MONTH_NAMES.split()

PASSAGES = (
    "Acme Corp reported revenue of $1,234.5 million in 2019. Anna Schmidt is the head of the firm [3].",
    "Code E17 means that the battery is too cold: charge it above 5 °C, within 90 minutes.",
)


def check(answer: str, *texts: str, question: str = "What does it say?") -> list[Citation]:
    return check_whole(EvidenceCheck(question, [make_passage(text, "Document") for text in texts]), answer, len(texts))


def judge(answer: str, *texts: str) -> list[Any]:
    return [citation.supported for citation in check(answer, *texts)]


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_the_made_sentences_are_judged_rightly(case: dict[str, Any]) -> None:
    """Each citation with its passage and its verdict, in order."""
    assert [[citation.n, citation.supported] for citation in judge_sentence(case)] == case["expected"]


def test_the_head_of_a_table_counts_but_has_no_place_in_the_text() -> None:
    """A year and a unit may stand above the part of the table that was cited."""
    passage = make_passage("Total revenues 16,920 15,128", "Document")
    with_head = passage.model_copy(update={"table_head": "(In millions) 2021 2020"})
    answer = "In 2021 total revenues were $16.92 billion [1]."

    (without,) = check_whole(EvidenceCheck("Which?", [passage]), answer, 1)
    (found,) = check_whole(EvidenceCheck("Which?", [with_head]), answer, 1)

    assert (without.supported, found.supported) == (False, True)
    assert [passage.text[span.start : span.end] for span in found.evidence] == ["16,920"]


def group(digits: str, separator: str) -> str:
    return separator.join(reversed([digits[max(0, end - 3) : end] for end in range(len(digits), 0, -3)]))


def write_number(value: Decimal, notation: str) -> str:
    """The number with two decimals in a notation."""
    whole, decimals = f"{value:.2f}".split(".")
    match notation:
        case "plain":
            return f"{whole}.{decimals}"
        case "english":
            return f"{group(whole, ',')}.{decimals}"
        case "german":
            return f"{group(whole, '.')},{decimals}"
        case "swiss":
            return f"{group(whole, '’')}.{decimals}"
        case "french":
            return f"{group(whole, chr(0x202F))},{decimals}"
        case "full width":
            return f"{whole}.{decimals}".translate({ord("0") + n: 0xFF10 + n for n in range(10)} | {ord("."): 0xFF0E})
        case "arabic":
            arabic = {ord("0") + n: 0x660 + n for n in range(10)}
            return f"{group(whole, ',')}.{decimals}".translate(arabic | {ord("."): 0x66B, ord(","): 0x66C})
        case _:
            return f"({group(whole, ',')}.{decimals})"


NOTATIONS = st.sampled_from(["plain", "english", "german", "swiss", "french", "full width", "arabic", "negative"])
NUMBERS = st.decimals(Decimal("13"), Decimal("999999999"), places=2)


@given(NUMBERS, NOTATIONS, NOTATIONS)
def test_a_number_is_found_in_any_notation(value: Decimal, in_passage: str, in_answer: str) -> None:
    """Points, commas, blanks, apostrophes, other scripts' digits, and the brackets of a loss."""
    passage = f"The total was {write_number(value, in_passage)} last year."

    assert judge(f"It was {write_number(value, in_answer)} then [1].", passage) == [True]


@given(NUMBERS, NOTATIONS, NOTATIONS, st.data())
def test_a_number_with_another_digit_is_not_found(
    value: Decimal, in_passage: str, in_answer: str, data: st.DataObject
) -> None:
    """Wherever the digit is."""
    digits = list(f"{value:.2f}")
    place = data.draw(st.sampled_from([n for n, char in enumerate(digits) if char != "."]))
    digits[place] = data.draw(st.sampled_from([digit for digit in "123456789" if digit != digits[place]]))
    other = Decimal("".join(digits))
    assume(other > 12)
    passage = f"The total was {write_number(value, in_passage)} last year."

    assert judge(f"It was {write_number(other, in_answer)} then [1].", passage) == [False]


def write_date(day: date, notation: int) -> str:
    month = MONTHS[day.month - 1]
    return (
        f"{day.day} {month} {day.year}",
        f"{month} {day.day}, {day.year}",
        f"{month[:3]}. {day.day}, {day.year}",
        f"{day.day}th of {month}, {day.year}",
        day.isoformat(),
        f"{day.day:02}.{day.month:02}.{day.year}",
        f"{day.month}/{day.day}/{day.year}",
        f"{day.year}年{day.month}月{day.day}日",
    )[notation]


DATES = st.dates(date(1900, 1, 1), date(2099, 12, 31))


@given(DATES, st.integers(0, 7), st.integers(0, 7))
def test_a_date_is_found_in_any_notation(day: date, in_passage: int, in_answer: int) -> None:
    """Day first, month first, year first, with names and with numbers."""
    passage = f"It was signed on {write_date(day, in_passage)}."

    assert judge(f"They signed on {write_date(day, in_answer)} [1].", passage) == [True]


@given(DATES, DATES, st.integers(0, 7), st.integers(0, 7))
@example(date(2019, 12, 31), date(2018, 12, 31), 1, 0)
def test_another_date_is_not_found(day: date, other: date, in_passage: int, in_answer: int) -> None:
    """One that differs in a day, a month or a year, but for the two readings of 3/4/2019."""
    assume(day != other and (day.year, day.month, day.day) != (other.year, other.day, other.month))
    passage = f"It was signed on {write_date(day, in_passage)}."

    assert judge(f"They signed on {write_date(other, in_answer)} [1].", passage) == [False]


def test_what_is_found_and_what_is_missing_is_said() -> None:
    """Spans of the passage's own text, though brackets in it are masked for the model, and of the answer."""
    answer = "So: Anna Schmidt reported $1,334.5 million in 2019 [1]."
    passage = "See [2] and [3]. In 2019 it was $1,234.5 million, as Anna Schmidt has said of the firm."
    (citation,) = check(answer, passage)

    assert [passage[span.start : span.end] for span in citation.evidence] == ["2019", "Anna Schmidt"]
    assert [answer[span.start : span.end] for span in citation.missing] == ["1,334.5 million"]
    assert answer[citation.start : citation.end] == "[1]"
    assert citation.claim is not None
    assert answer[citation.claim.start : citation.claim.end] == "So: Anna Schmidt reported $1,334.5 million in 2019"


@pytest.mark.parametrize(("letters", "month"), [("Auguſt", "August"), ("aprıl", "April"), ("APRİL", "April")])
def test_letters_that_only_count_as_others_in_patterns_are_read(letters: str, month: str) -> None:
    """The long s of old prints, and the Turkish i, match `s` and `i` in any case, and are neither in small letters."""
    passage = f"Der Vertrag vom 12. {letters} 1850 über ſechs mıllıon Taler wurde geſchloſſen."

    assert judge(f"The contract is of 12 {month} 1850 [1].", passage) == [True]
    assert judge(f"The contract is of 12 {letters} 1850, over 7 mıllion [1].", passage) == [False]


def test_a_passage_is_as_good_as_its_worst_citation() -> None:
    """False where one is, true where one is, else unknown."""
    citations = check("E17 is about the cold [2]. E18 too [2]. E17 is a code [2]. It is so [1].", *PASSAGES)

    assert [summarise(citations, n) for n in (1, 2)] == ["unknown", False]
    assert summarise(check("It is E17 [2]. It is so [2].", *PASSAGES), 2) is True


@pytest.mark.parametrize("shift", range(2, 10))
async def test_a_long_sentence_is_not_cut_within_a_figure(shift: int) -> None:
    """What stands far before a marker is not looked up, and no part of it, either."""
    sentence = f"It was 1,234,567 {'a' * shift}{' and' * 246} so [1]."

    assert judge(sentence, PASSAGES[0]) == ["unknown"]
    assert "".join(await remove(list(sentence), PASSAGES[0])) == sentence


def test_what_was_not_read_is_not_missing() -> None:
    """Of a passage that is longer than any of ours, or all figures, only a part is read."""
    for passage in ("word " * 2_100 + "77.5", "13 " * 600 + "77.5"):
        assert judge("It is 77.5 [1].", passage) == ["unknown"]


@pytest.mark.parametrize(
    "answer",
    [
        "[1] " * 50_000,
        f"It was 13.5 {list(range(1, 51))}. " * 700,
        " ".join(f"{n}.5" for n in range(13, 9_000)) + " [1]",
        f"{' '.join(f'{n}.5' for n in range(13, 150))} {list(range(1, 51))}. " * 50,
    ],
    ids=["markers", "passages", "figures", "both"],
)
def test_no_answer_makes_more_work_than_is_allowed(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lookups and listed citations are bounded, whatever a model writes."""
    calls = 0

    def count(item: Item, index: PassageIndex) -> Lookup:
        nonlocal calls
        calls += 1
        return look_up(item, index)

    monkeypatch.setattr(evidence, "look_up", count)
    found = check(answer, *["It was 13.5."] * 50)

    assert len(found) <= MAX_CITATIONS
    # In text, title and question; the claim that passes the bound is checked to its end.
    assert calls <= 3 * (MAX_LOOKUPS + MAX_ITEMS * 50)


ANSWER_PIECES = (
    "Revenue was |$1,234.5 million|$1,235.5 million|Anna Schmidt| said so|E17|E18|[1]|[2]|[1][2]|[1, 2]|[9]|. |.\n|, |"
    "- | |(|)|`|\n\n|1. |“|”|5 °C|14:30|3 May 2019|⟦3⟧"
)
ANSWERS = st.lists(st.sampled_from(ANSWER_PIECES.split("|")), max_size=24).map("".join) | st.text(max_size=80)


@given(ANSWERS, st.lists(st.text(max_size=200), max_size=3))
def test_any_answer_is_judged(answer: str, texts: list[str]) -> None:
    """Nothing fails, the markers are those that the filter counts, and all spans lie within their text."""
    texts = [*texts, *PASSAGES][:3]
    citations = CitationFilter(len(texts))
    answer = citations.feed(answer) + citations.finish()
    found = check(answer, *texts)

    assert {citation.n for citation in found} <= citations.cited
    for citation in found:
        assert citation.claim is not None
        assert 0 <= citation.claim.start <= citation.claim.end <= len(answer)
        assert all(0 <= span.start < span.end <= len(texts[citation.n - 1]) for span in citation.evidence)
        assert all(0 <= span.start < span.end <= len(answer) for span in citation.missing)
        assert (citation.supported is False) == bool(citation.missing)


SENTENCES_OF_DOCUMENTS = st.sampled_from(
    (
        "Acme Corp reported revenue of $1,234.5 million (2018: (1,100)) for the year ended December 31, 2019.",
        "“The informa-\ntion” was given by Dr. Anna Schmidt, Head of Sales [4], at 14:30 on 3/4/2019.",
        "Revenue 2019 2018\nNet sales 32,136 32,765\nCapital expenditures 1 699 1 577",
        "Code E-17 v2.1.3 means 5–40 °C; call +49 30 1234-567 or 0800/123 456.",
        "Über 12,5 % der Mitarbeiter in München nehmen 25 Tage Urlaub, sagt Karl Brandt [12].",
        "1. First, press the 3 keys. 2) Then wait 90 minutes (see p. 12, fig. 4-2).",
        "A 5\" x 7\" print costs $3.50 to $4, e.g. in the U.S. No. 5 is 'the best'.",
        "当社は2019年12月31日に設立され、売上高は３億円である。",
        "- Q3 FY21: +3.2 pp, EUR 4.5m; H1 2020/21: −7 bps; 1990s; 2nd ed.",
    )
)


@given(st.lists(st.lists(SENTENCES_OF_DOCUMENTS, min_size=1, max_size=5).map(" ".join), min_size=1, max_size=3))
def test_what_is_quoted_word_by_word_is_never_called_unsupported(texts: list[str]) -> None:
    """The extractive answer is: all that it says stands in the passage that it cites."""
    passages = [make_passage(text, "Document") for text in texts]
    for question in ("How much revenue did Acme report?", "What does code E17 mean?", "Who is Karl Brandt in München?"):
        answer = answer_extractively(question, passages)
        citations = check_whole(EvidenceCheck(question, passages), answer, len(passages))
        verdicts = [citation.supported for citation in citations]
        assert False not in verdicts, answer


def test_the_collected_answer_has_its_own_places() -> None:
    """White space at its beginning is cut off there, and places count from what is left; the run's own stay."""
    text = " \n It is E18 [2].\n"
    citations = check(text, *PASSAGES)
    for answer, moved in ((text, citations), ("It is E18 [2].", move_citations(citations, 3))):
        places = [(moved[0].start, moved[0].end), *((span.start, span.end) for span in moved[0].missing)]
        assert [answer[start:end] for start, end in places] == ["[2]", "E18"]
        assert moved[0].claim is not None
        assert answer[moved[0].claim.start : moved[0].claim.end] == "It is E18"


async def stream(pieces: list[str]) -> AsyncGenerator[Answering | TextDelta | Completion, None]:
    yield Answering("p", "m")
    for piece in pieces:
        yield TextDelta(piece)
    yield Completion("stop", provider="p", model="m")


async def remove(pieces: list[str], *texts: str) -> list[str]:
    """What is let through of the pieces of a model's text."""
    passages = [make_passage(text, "Document") for text in texts]
    check = EvidenceCheck("What does it say?", passages)
    passed = [piece async for piece in remove_unsupported(stream(pieces), check, len(passages))]
    assert isinstance(passed[0], Answering)
    assert isinstance(passed.pop(), Completion)
    return [piece.text for piece in passed if isinstance(piece, TextDelta)]


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        ("Revenue was $1,234.5 million [1].", "Revenue was $1,234.5 million [1]."),
        ("Revenue was $1,235.5 million [1].", "Revenue was $1,235.5 million."),
        ("Revenue was $1,235.5 million. [1] More.", "Revenue was $1,235.5 million. More."),
        ("It is E18 [1][2]. It is E17 [2].", "It is E18. It is E17 [2]."),
        ("It is E18 [1], [2], they say. Yes.", "It is E18, they say. Yes."),
        ("It is E18 ([1]).", "It is E18."),
        ("It is E17. [1] [2] It is.", "It is E17. [1] [2] It is."),
        ("It is E18 [2] and E17 [2].\nIt is so [1].", "It is E18 and E17 [2].\nIt is so [1]."),
        ("See `[1]` and E17 [1, 2]", "See `[1]` and E17 [1, 2]"),
        ("It is E18 and [1]. Yes.", "It is E18 and. Yes."),
        ("It is E18 [1] and [2] says so.", "It is E18 and says so."),
        ("It is E17 [2], [1]. Call f () again.", "It is E17 [2], [1]. Call f () again."),
        ("It is E18 [1]. Call f () again.", "It is E18. Call f () again."),
        ("It is E18 [1]they say.", "It is E18 they say."),
        ("It is E18 [1], e.g. Dr. No. 5 says E17 [2].", "It is E18, e.g. Dr. No. 5 says E17 [2]."),
        ("Says Dr. No [1] in No. 5 that E17 is cold [2].", "Says Dr. No [1] in No. 5 that E17 is cold [2]."),
    ],
)
async def test_unsupported_markers_are_taken_out(answer: str, left: str) -> None:
    """With the blank before them; the rest of the text stays, whatever the pieces."""
    for size in (1, 3, len(answer)):
        pieces = [answer[start : start + size] for start in range(0, len(answer), size)]
        assert "".join(await remove(pieces, *PASSAGES)) == left


async def test_text_waits_only_from_a_marker_to_the_end_of_its_sentence() -> None:
    """What comes before passes as it comes."""
    pieces = await remove(["It is", " E17", " [2]", ". And", " so", " on."], *PASSAGES)

    assert pieces == ["It is", " E17", " [2]. And", " so", " on."]


def find_markers(answer: str, passage_count: int) -> list[PlacedMarker]:
    """Return the markers of an answer that has passed the filter."""
    citations = CitationFilter(passage_count)
    passed = citations.feed(answer) + citations.finish()
    # What was removed the first time may have joined what looks like a marker now: then nothing is where it was.
    return group_places(citations.places) if passed == answer else []


@pytest.mark.parametrize("endless", ["[1]", " [1] and", "E18 [1] x "])
async def test_what_waits_is_bounded(endless: str) -> None:
    """Also where a model cites without end: an answer's length is counted when it is let through."""
    waiting = most = 0

    async def write() -> AsyncGenerator[TextDelta, None]:
        nonlocal waiting, most
        for _ in range(3 * MAX_HELD_CHARS // len(endless)):
            waiting += len(endless)
            most = max(most, waiting)
            yield TextDelta(endless)

    check = EvidenceCheck("What does it say?", [make_passage(PASSAGES[0], "Document")])
    async for _ in remove_unsupported(write(), check, 1):
        waiting = 0

    assert most <= MAX_HELD_CHARS + 3 * len(endless)


async def test_blanks_before_a_citation_take_linear_time() -> None:
    """A piece of a hundred thousand would otherwise take minutes, in which the server does nothing else."""

    async def measure(count: int) -> float:
        started = time.process_time()
        await remove([" " * count + "It is E17 [1]. Yes."], *PASSAGES)
        return time.process_time() - started

    few, many = [min([await measure(count) for _ in range(3)]) for count in (4_000, 64_000)]
    assert many < 16 * 4 * max(few, 2e-3)


def describe_what_may_be_left(answer: str, markers: Sequence[PlacedMarker]) -> str:
    """A pattern: all of the text, where each marker may be gone.

    With it only a blank and parentheses around it, and what is no word between it and another marker.
    """
    pattern, position, is_open = "", 0, False
    for number, marker in enumerate(markers):
        gap, lead = answer[position : marker.start], ""
        if number > 0 and re.fullmatch(r"[ \t]?[,;、，；&]?[ \t]?|[-–—]", gap):
            pattern += f"(?:{re.escape(gap)})?"
        else:
            if is_open and gap.startswith(")"):
                pattern, gap = pattern + r"\)?", gap[1:]
            found = re.search(r"[ \t]?\(?\Z", gap)
            lead = found[0] if found else ""
            is_open = lead.endswith("(")
            pattern += re.escape(gap[: len(gap) - len(lead)])
        less = "|".join(re.escape(lead[:end]) for end in range(len(lead) + 1))
        pattern += f"(?:{re.escape(lead + answer[marker.start : marker.end])}|{less})"
        position = marker.end
    rest = answer[position:]
    return pattern + (r"\)?" + re.escape(rest[1:]) if is_open and rest.startswith(")") else re.escape(rest))


WORDS = "It is E17|It is E18|e.g.|Dr. No|No. 5|approx. 1|and|, and|U.S.|f ()|.|. |.\n|;|,| |(|)|&|-|–|[1]|[2]|[1, 2]"
SENTENCES_WITH_MARKERS = st.lists(st.sampled_from(WORDS.split("|")) | st.just(" "), max_size=16).map("".join)


@given(ANSWERS | SENTENCES_WITH_MARKERS, st.integers(1, 40))
@example("It really is E18 and [1]. So is it.", 16)
async def test_only_markers_are_taken_out(answer: str, size: int) -> None:
    """All other text passes as it is, in its order, but for a blank that would stand alone."""
    citations = CitationFilter(2)
    answer = citations.feed(answer) + citations.finish()
    assume(find_markers(answer, 2) or not citations.cited)
    passed = "".join(await remove([answer[start : start + size] for start in range(0, len(answer), size)], *PASSAGES))

    markers = find_markers(answer, 2)
    assert re.fullmatch(describe_what_may_be_left(answer, markers), passed, re.DOTALL)
    if all(citation.supported is not False for citation in check(answer, *PASSAGES)):
        assert passed == answer
