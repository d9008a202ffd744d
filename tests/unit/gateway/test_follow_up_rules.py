"""Follow-ups get what they leave out; questions that stand by themselves, and other languages, stay as they are."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.answers.follow_up_rules import (
    MAX_BASE_CHARS,
    MAX_CARRIED_CHARS,
    MAX_FOLLOW_UP_CHARS,
    resolve_follow_up,
)
from services.gateway.answers.question_words import list_words

ACME = "What was revenue of Acme in 2019?"
PUMP = "What is the warranty period of the pump?"
CONTRACT = "What does the supply agreement cover?"

FOLLOW_UPS = [
    # a date in place of the one before
    ([ACME], "and in 2020?", "What was revenue of Acme, and in 2020?"),
    ([ACME], "2020?", "What was revenue of Acme, 2020?"),
    ([ACME], "And for Q3 2021?", "What was revenue of Acme, and for Q3 2021?"),
    ([ACME], "What about March 2020?", "What was revenue of Acme, what about March 2020?"),
    (["What did Acme earn between 2018 and 2020?"], "In FY2021?", "What did Acme earn, in FY2021?"),
    (["Was war der Umsatz von Acme 2019?"], "2020?", "Was war der Umsatz von Acme, 2020?"),
    # pronouns without anything that they could stand for
    ([ACME], "What about its costs?", "What about its costs (Acme, 2019)?"),
    ([ACME], "Who signed it?", "Who signed it (Acme, 2019)?"),
    ([ACME], "Who signed it in 2018?", "Who signed it in 2018 (Acme)?"),
    ([ACME], "Which products does it sell?", "Which products does it sell (Acme, 2019)?"),
    ([ACME], "How many employees does it have?", "How many employees does it have (Acme, 2019)?"),
    ([ACME], "so, who is he?", "so, who is he (Acme, 2019)?"),
    ([ACME], "What is the value of it?", "What is the value of it (Acme, 2019)?"),
    ([PUMP], "How much does it cost?", "How much does it cost (pump)?"),
    ([CONTRACT], "When did the board sign it?", "When did the board sign it (supply agreement cover)?"),
    (["What does fault code E17 mean?"], "What causes it?", "What causes it (E17)?"),
    (
        ["What does fault code E17 mean?"],
        "How long does the station heat it?",
        "How long does the station heat it (E17)?",
    ),
    (["Who runs Acme's Bern office?"], "Is that new?", "Is that new?"),
    (["Who runs Acme's Bern office?"], "What is that?", "What is that (Acme Bern)?"),
    # parts of questions
    ([ACME], "Why?", "What was revenue of Acme in 2019, why?"),
    ([ACME], "Since when?", "What was revenue of Acme in 2019, since when?"),
    ([ACME], "for Germany?", "What was revenue of Acme in 2019, for Germany?"),
    ([ACME], "In the second half?", "What was revenue of Acme in 2019, in the second half?"),
    ([ACME], "What about Beta Corp?", "What was revenue in 2019, what about Beta Corp?"),
    ([ACME], "And Beta?", "What was revenue of Acme in 2019, and Beta?"),
    ([ACME], "And the net income?", "And the net income (Acme, 2019)?"),
    ([ACME], "And what were the costs in 2018?", "And what were the costs in 2018 (Acme)?"),
    ([PUMP], "And the price?", "And the price (pump)?"),
    # one after the other
    ([ACME, "and in 2020?"], "what about its costs?", "what about its costs (Acme, 2020)?"),
    ([ACME, "and in 2020?", "what about its costs?"], "Who signed it?", "Who signed it (Acme, 2020)?"),
    ([ACME, "What about Beta?"], "And in 2020?", "What was revenue, what about Beta, and in 2020?"),
    ([ACME, "What about Beta?"], "Who runs it?", "Who runs it (Beta, 2019)?"),
    ([ACME, PUMP], "How heavy is it?", "How heavy is it (pump)?"),
    (["and in 2020?"], "What about Beta Corp?", "What about Beta Corp (2020)?"),
    # what there is little to carry from
    (["Who are you?"], "What about Beta?", "What about Beta?"),
    (
        ["What is the rate of interest in interests?"],
        "What about Beta?",
        "What is the rate of interest in interests, what about Beta?",
    ),
    (["E17 heats "], "and in 2020?", "E17 heats, and in 2020?"),
]


@pytest.mark.parametrize(("earlier", "question", "expected"), FOLLOW_UPS)
def test_a_follow_up_gets_what_it_leaves_out(earlier: list[str], question: str, expected: str) -> None:
    """The subject and the dates of the questions before it."""
    assert resolve_follow_up(question, earlier) == expected


STANDING = [
    ACME,
    PUMP,
    "What does E17 mean?",
    "Does Beta publish its costs?",
    "What was revenue when it fell?",
    "Who is the CEO and when did he start?",
    "How do I cancel my contract and when does it end?",
    "How can users open a box and close it?",
    "Which company increased its dividends?",
    "What happens to employees who lose their keys?",
    "How long does it take to install the pump?",
    "How much does it cost to renew a passport?",
    "Is it possible to cancel?",
    "Is it true that the pump leaks?",
    "What are the fees that apply?",
    "Is there a limit?",
    "What does this policy cover?",
    "And what is the capital of France?",
    "In Germany, what is the tax rate?",
    "List the risks.",
    "revenue 2020 Acme",
    "tell me more",
    # other languages, among them words that look like English ones
    "Und 2020?",
    "Wer hat das unterschrieben?",
    "Was kostet es?",
    "Also gut, so machen wir das.",
    "In Bern regnet es.",
    "In welcher Stadt?",
    "Et les coûts ?",
    "¿Y en 2020?",
    "¿Qué he firmado?",
    "И в 2020 году?",
    "2020年はどうですか？",
    "",
    "?",
    "And?",
    "…",
    "x" * 5000,
    "Who signed it, " + "and " * 1000 + "when?",
]


@pytest.mark.parametrize("question", STANDING)
@pytest.mark.parametrize("earlier", [[], [ACME], ["Wer leitet Acme seit 2019?", "and in 2020?"], ["", "?"]])
def test_what_stands_by_itself_is_never_changed(question: str, earlier: list[str]) -> None:
    """Nor what is not English."""
    assert resolve_follow_up(question, earlier) == question


@pytest.mark.parametrize("question", [question for _, question, _ in FOLLOW_UPS])
def test_nothing_is_carried_from_nothing(question: str) -> None:
    """The first question of a conversation is as it is."""
    assert resolve_follow_up(question, []) == question


WORDS = """and but so what about how who which the of in for it its they this that does is did signed revenue costs
2019 2020 Acme Beta Q3 2021 March E17 to , ? ! . ( ) é 年 ' -"""
PIECES = (*WORDS.split(), "\n", "\t", "")
TEXTS = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=30).map(" ".join),
    st.sampled_from([question for _, question, _ in FOLLOW_UPS] + STANDING),
    st.text(max_size=200),
)


@given(TEXTS, st.lists(TEXTS, max_size=8))
@settings(deadline=None)
def test_no_word_is_lost_and_little_is_added(question: str, earlier: list[str]) -> None:
    """The question's words stand in the result in their order; what is added is bounded, and was said before."""
    resolved = resolve_follow_up(question, earlier)

    words = iter(word.casefold() for word in list_words(resolved))
    assert all(word.casefold() in words for word in list_words(question))
    assert len(resolved) <= len(question) + MAX_BASE_CHARS + 2 * MAX_CARRIED_CHARS + 10
    if resolved != question:
        assert len(question) <= MAX_FOLLOW_UP_CHARS
        said = " ".join((question, *earlier)).casefold()
        assert all(word.casefold() in said for word in list_words(resolved))


@given(TEXTS, st.lists(TEXTS, max_size=4))
@settings(deadline=None)
def test_it_is_the_same_every_time(question: str, earlier: list[str]) -> None:
    """And does not depend on what is not there: an empty question before all others changes nothing."""
    assert resolve_follow_up(question, earlier) == resolve_follow_up(question, ["", *earlier])


HOSTILE = [
    "a" * 4000,
    "A " * 2000,
    "2019 " * 800,
    " " * 4000,
    "it " * 1300,
    "1 1 Q1 " * 500,
    "and in " * 500,
    "'s" * 2000,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_odd_text_takes_no_more_than_twice_the_time_of_half_of_it(text: str) -> None:
    """Linear, in CPU time of its own, as the machine does other things as well."""

    def measure(part: str) -> float:
        times = []
        for _ in range(5):
            start = time.thread_time()
            resolve_follow_up("and in 2020?", [part] * 4)
            resolve_follow_up(part, [ACME])
            times.append(time.thread_time() - start)
        return min(times)

    measure(text)
    assert measure(text * 4) < 4 * 4 * max(measure(text), 1e-4)
