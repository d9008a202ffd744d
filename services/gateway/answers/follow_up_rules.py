"""Makes English follow-up questions stand by themselves: carries over the subject and the dates that they leave out.

A question that stands by itself, or is not English, stays as it is. A follow-up keeps all its words in their order:
what it leaves out is put behind it in parentheses, and what it goes on with before it. All of it takes linear time.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from services.gateway.answers import question_words as words_of

MAX_FOLLOW_UP_CHARS: Final = 200
"""What is longer says what it is about."""
MAX_BASE_CHARS: Final = 300
"""Of a question that is gone on with."""
MAX_CARRIED_CHARS: Final = 100
"""Of a subject, and of dates."""

_ENDS = " ?!.,;"


@dataclass(frozen=True)
class _Topic:
    """What a conversation is about: the last question as it stands by itself, what it asks about, and of when."""

    question: str = ""
    subject: str = ""
    dates: str = ""


def resolve_follow_up(question: str, earlier: Sequence[str]) -> str:
    """Return the question as it stands by itself.

    Parameters:
        earlier: the questions before it, oldest first.
    """
    topic = _Topic()
    for text in earlier:
        topic = _move_on(text, _resolve(text, topic), topic)
    return _resolve(question, topic)


def _move_on(question: str, resolved: str, topic: _Topic) -> _Topic:
    names, dates = words_of.find_names(question), _join(words_of.DATE.findall(question))
    if resolved == question:
        return _Topic(question, _join(names) or words_of.find_subject(question)[:MAX_CARRIED_CHARS], dates)
    replaces = names and _split(question)[1] == "about"
    return _Topic(resolved, _join(names if replaces else [topic.subject, *names]), dates or topic.dates)


def _resolve(question: str, topic: _Topic) -> str:
    words, lead = _split(question)
    if not topic.question or not words or len(question) > MAX_FOLLOW_UP_CHARS:
        return question
    lower, content = [word.lower() for word in words], words_of.list_content(question)
    has_verb = not words_of.WH.union(words_of.AUXILIARIES).isdisjoint(lower)
    names = " ".join(words_of.find_names(question))
    is_name = names != "" and names == " ".join(content)
    if words_of.DATE.search(question) and not content and not has_verb:  # "and in 2020?"
        return _go_on(words_of.DATED.sub("", topic.question), question, topic)
    if _refers_back(words):  # "Who signed it?"
        return _add(question, topic)
    if not content and len(words) <= 3 and lower[-1] in words_of.TAILS:  # "Since when?"
        return _go_on(topic.question, question, topic)
    if lead == "about" and is_name and topic.subject and ", " not in topic.subject:  # "What about Beta?"
        name = re.escape(topic.subject)
        return _go_on(re.sub(rf" ?\b(?:(?:of|for|by|at) )?{name}\b(?:['’]s)?", "", topic.question), question, topic)
    if (lead == "and" and is_name) or (not has_verb and _begins_fragment(words, question)):  # "For Germany?"
        return _go_on(topic.question, question, topic)
    if lead == "about" or (lead == "and" and not (has_verb and names)):  # "And the costs?"
        return _add(question, topic)
    return question


def _split(question: str) -> tuple[list[str], str]:
    """Return the words behind what leads over from the question before, and that: `and`, `about` or nothing."""
    words, lead = words_of.list_words(question), ""
    start = 0
    while start < len(words) and words[start].lower() in words_of.LEADS | words_of.FILLERS:
        lead = "and" if words[start].lower() in words_of.LEADS else lead
        start += 1
    if [word.lower() for word in words[start : start + 2]] in (["what", "about"], ["how", "about"]):
        return words[start + 2 :], "about"
    return words[start:], lead


def _begins_fragment(words: Sequence[str], question: str) -> bool:
    """Return whether a question is only a part of one, with a preposition: "for Germany?", "in the second half?"."""
    if not (1 < len(words) <= 6 and words[0].lower() in words_of.PREPOSITIONS and question.rstrip().endswith("?")):
        return False
    return words[1].lower() in words_of.DETERMINERS or not words[1].islower()


def _refers_back(words: Sequence[str]) -> bool:
    """Return whether the first pronoun has nothing before it in the question that it could stand for."""
    lower = ["", *(word.lower() for word in words), ""]
    if lower[1] not in words_of.STARTS:
        return False
    asks_for_noun = lower[1] in ("which", "what", "whose") or lower[1:3] in (["how", "many"], ["how", "much"])
    verb = next((i for i, word in enumerate(lower) if word in words_of.AUXILIARIES), 0)
    asked = verb if asks_for_noun and lower[verb + 1 : verb + 2] and lower[verb + 1] in words_of.PRONOUNS else 0
    for i in range(1, len(lower) - 1):
        word, before, after, written = lower[i], lower[i - 1], lower[i + 1], words[i - 1]
        acts = words_of.AUXILIARIES | words_of.PREPOSITIONS | words_of.VERBS | {""}
        if word in words_of.PRONOUNS or (word in words_of.DEMONSTRATIVES and after in acts):
            return not (word == "it" and _is_empty_it(words[i : i + 5]))
        if word in words_of.CLOSED or i < asked:  # "Which products does it …"
            continue
        of_a_phrase = before in words_of.AUXILIARIES | words_of.DETERMINERS | words_of.PREPOSITIONS
        if of_a_phrase or not written[0].islower():
            # What acts is not what is acted on: "When did the board sign it?", nor part of itself: "the value of it".
            between = lower[i + 1 : -2]
            ends = lower[-2] in ("it", "them", "this", "that") and len(between) == 1
            return ends and (between[0] not in words_of.CLOSED or between[0] in ("of", "about"))
        is_asked_for = before in ("which", "what", "many", "much", "whose")
        if is_asked_for and after not in words_of.AUXILIARIES | words_of.PRONOUNS:  # "Which company has its …"
            return False
    return False


def _is_empty_it(after: Sequence[str]) -> bool:
    """Return whether `it` only stands for what follows: "How long does it take to …"."""
    lower = [word.lower() for word in after]
    if "to" in lower[:-1]:
        following = after[lower.index("to") + 1]
        return following.islower() and following not in words_of.CLOSED
    return "that" in lower


def _join(parts: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(part for part in parts if part))[:MAX_CARRIED_CHARS]


def _add(question: str, topic: _Topic) -> str:
    """Return the question with the subject and the dates that it leaves out behind it."""
    subject = topic.subject if topic.subject.casefold() not in question.casefold() else ""
    dates = topic.dates if not words_of.DATE.search(question) else ""
    head = question.rstrip(_ENDS)
    return f"{head} ({_join((subject, dates))}){question[len(head) :]}" if subject or dates else question


def _go_on(base: str, question: str, topic: _Topic) -> str:
    """Return the question behind the one that it goes on with."""
    base = base.strip(_ENDS)
    if not base or len(base) > MAX_BASE_CHARS:
        return _add(question, topic)
    first = words_of.list_words(question)[0].lower()
    return f"{base}, {question[0].lower() + question[1:] if first in words_of.CLOSED else question}"
