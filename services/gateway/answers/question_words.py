"""What an English question is made of, as the rules for follow-ups see it: closed classes of words, dates, names."""

import re

_CLASSES = """
wh: what which who whom whose when where why how
auxiliary: is are was were am be been do does did has have had can could will would shall should may might must
possessive: its their theirs his her hers
pronoun: it they them he him she
demonstrative: this that these those
preposition: in for of on at by from to with during since until before after about between under over per without as
determiner: the a an each every any all some no our your my another other
lead: and but same
filler: so or also then ok okay now
order: explain show list tell give describe compare summarise summarize
verb: mean include cost apply happen work end start take
other: much many long often far not there here please me i we us you if than exactly else again
"""
_WORDS = {name: frozenset(words.split()) for name, words in (line.split(":") for line in _CLASSES.split("\n") if line)}

WH = _WORDS["wh"]
AUXILIARIES = _WORDS["auxiliary"]
PRONOUNS = _WORDS["possessive"] | _WORDS["pronoun"]
DEMONSTRATIVES = _WORDS["demonstrative"]
PREPOSITIONS = _WORDS["preposition"]
DETERMINERS = _WORDS["determiner"]
LEADS = _WORDS["lead"]
"""Behind these a question goes on with the one before."""
FILLERS = _WORDS["filler"]
VERBS = _WORDS["verb"]
"""Behind `this` and `that` these are verbs, and what was said before is meant."""
STARTS = WH | AUXILIARIES | PRONOUNS | DEMONSTRATIVES | PREPOSITIONS | DETERMINERS | _WORDS["order"]
"""With one of these an English question begins."""
CLOSED = STARTS | LEADS | FILLERS | _WORDS["other"]
"""Words that say nothing about what is asked."""
TAILS = WH | FILLERS | _WORDS["other"]

_WORD = re.compile(r"[^\W_]+(?:[-&.][^\W_]+)*")
_POSSESSIVE_ENDING = re.compile(r"(?<=\w)['’]s\b")
_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
DATE = re.compile(
    rf"\b(?:\d\d? )?(?:(?:Q[1-4]|H[12]|FY|(?:fiscal|financial|calendar)(?: year)?|(?:{_MONTHS})(?: \d\d?,?)?) ?)?"
    r"(?:1[5-9]|20|21)\d\d\b(?:[-–/]\d\d(?:\d\d)?\b)?",
    re.IGNORECASE,
)
"""A year with the day, month or quarter before it."""
DATED = re.compile(
    rf" ?\b(?:(?:in|for|of|during|since|until|by|from|to|on|and|between)(?: the)?(?: year| end of)? )?{DATE.pattern}",
    re.IGNORECASE,
)
"""The same with the preposition before it."""


def list_words(text: str) -> list[str]:
    """Return the words of a text as they are written, without possessive endings."""
    return _WORD.findall(_POSSESSIVE_ENDING.sub("", text))


def list_content(question: str) -> list[str]:
    """Return the words that say what is asked, without dates."""
    return [word for word in list_words(DATE.sub(" ", question)) if word.lower() not in CLOSED]


def find_names(question: str) -> list[str]:
    """Return names and codes: capitalised words in a row, but for the first of the question, and words like `E17`."""
    names: list[str] = []
    end = -1
    text = DATE.sub("\n", _POSSESSIVE_ENDING.sub("", question))
    for i, found in enumerate(_WORD.finditer(text)):
        word = found[0]
        is_code = not word.isdigit() and any(char.isdigit() for char in word)
        if word.lower() in CLOSED or not (is_code or (word[0].isupper() and i)):
            continue
        if names and found.start() == end + 1 and text[end] == " ":
            names[-1] += f" {word}"
        else:
            names.append(word)
        end = found.end()
    return list(dict.fromkeys(names))


def find_subject(question: str) -> str:
    """Return what a question without names is about: what stands behind its first `of`, `for` or `about`, else all."""
    words = list_words(DATE.sub(" ", question))
    start = next((i for i, word in enumerate(words) if i and word.lower() in ("of", "for", "about")), -1)
    behind = [word for word in words[start + 1 :] if word.lower() not in CLOSED]
    return " ".join(behind or list_content(question))
