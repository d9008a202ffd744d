"""Words as the extractive answer compares them: folded, stemmed, with synonyms and acronyms."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

from services.gateway.extractive.vocabulary import (
    ENDINGS,
    IRREGULAR,
    MINOR_WORDS,
    PHRASE_GROUPS,
    STOP_WORDS,
    SYNONYM_GROUPS,
)

_WORD = re.compile(r"\d+(?:[.,:]\d+)*(?![^\W\d_])|[^\W_]+(?:&[^\W_]+)*")
_POSSESSIVE = re.compile(r"(?<=\w)['’]s\b", re.IGNORECASE)

_HYPHENATED = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)+")
_ACRONYM = re.compile(r"[A-Z][A-Z0-9&]{1,6}")


def fold(text: str) -> str:
    """Lower case, without accents and typographic variants."""
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(char for char in decomposed if not unicodedata.combining(char)).casefold()


def split_words(text: str) -> list[str]:
    """The words and numbers of a text as written, without possessive endings."""
    return _WORD.findall(_POSSESSIVE.sub("", text))


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """A crude stem, the same for most inflections and derivations of a word (`renewal`, `renews`: `renew`)."""
    word = fold(word)
    word = IRREGULAR.get(word, word)
    if len(word) <= 3 or any(char.isdigit() for char in word) or not word.isascii():
        return word
    for ending, least in ENDINGS:
        kept = len(word) - len(ending)
        if word.endswith(ending) and kept >= least and not word.endswith(("ss", "us", "is")):
            word = word[:kept]
            break
    if len(word) > 3 and word[-1] == word[-2]:
        word = word[:-1]
    return word[:-1] if len(word) > 3 and word[-1] in "eiy" else word


def stems(text: str) -> list[str]:
    """The stems of all words of a text, in order."""
    return [stem(word) for word in split_words(text)]


def join_hyphens(text: str) -> set[str]:
    """The stems of hyphenated words written as one (`Back-ups`: `backup`)."""
    return {stem(word.replace("-", "")) for word in _HYPHENATED.findall(text)}


def content_stems(text: str) -> list[str]:
    """The stems of the words that carry meaning."""
    return [stem(word) for word in split_words(text) if fold(word) not in STOP_WORDS]


def _build_synonyms() -> dict[str, frozenset[str]]:
    groups: dict[str, set[str]] = {}
    for line in SYNONYM_GROUPS.strip().splitlines():
        group = {stem(word) for word in line.split()}
        for member in group:
            groups.setdefault(member, set()).update(group - {member})
    return {member: frozenset(others) for member, others in groups.items()}


SYNONYMS = _build_synonyms()
"""Stem to the stems that people use for the same thing in handbooks."""


def _build_phrases() -> list[list[tuple[str, ...]]]:
    lines = PHRASE_GROUPS.strip().splitlines()
    return [[tuple(stems(phrase)) for phrase in line.split("|")] for line in lines]


PHRASES = _build_phrases()
"""Groups of phrases, as stems in a row, that stand for each other."""


def find_run(run: Sequence[str], within: Sequence[str]) -> bool:
    """Whether the stems stand one after the other within others."""
    return any(tuple(within[at : at + len(run)]) == tuple(run) for at in range(len(within) - len(run) + 1))


def find_acronyms(text: str) -> set[str]:
    """The words written in capitals that may stand for several words."""
    return {word for word in split_words(text) if _ACRONYM.fullmatch(word)}


def spell_initials(words: Sequence[str], acronym: str) -> bool:
    """Whether consecutive words start with the letters of the acronym (`Mean time between failures`: MTBF).

    Acronyms of two or three letters turn up by chance, so their words must be capitalised.
    """
    letters = acronym.lower()
    for kept in (list(words), [word for word in words if fold(word) not in MINOR_WORDS]):
        initials = "".join((fold(word) or word)[0] for word in kept)
        start = initials.find(letters)
        while start >= 0:
            window = kept[start : start + len(letters)]
            if len(letters) > 3 or all(word[0].isupper() for word in window):
                return True
            start = initials.find(letters, start + 1)
    return False


def abbreviate(words: Iterable[str]) -> str:
    """The acronym that words would have (`chief executive officer`: CEO)."""
    return "".join(fold(word)[:1] for word in words if fold(word) not in MINOR_WORDS).upper()
