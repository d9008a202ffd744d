"""Compare words: folded, stemmed, with what stands for the same thing."""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from services.gateway.extractive.vocabulary import ENDINGS, IRREGULAR, SYNONYM_GROUPS
from shared.written_forms import list_codes, write_figure

_WORD = re.compile(r"\d+(?:[.,:'’]\d+)*(?![^\W\d_])|[^\W_]+(?:&[^\W_]+)*")
_POSSESSIVE = re.compile(r"(?<=\w)['’]s\b", re.IGNORECASE)


def fold(text: str) -> str:
    """Return the text in lower case, without accents and typographic variants."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(char for char in decomposed if not unicodedata.combining(char)).casefold()


def split_words(text: str) -> list[str]:
    """Return the words and numbers of a text as written, without possessive endings."""
    return _WORD.findall(_POSSESSIVE.sub("", text))


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """Return a crude stem, the same for most inflections and derivations of a word (`renewal`, `renews`: `renew`)."""
    word = fold(word)
    word = IRREGULAR.get(word, word)
    if word[:1].isdigit():
        return write_figure(word)
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
    """Return the stems of all words of a text, in order."""
    return [stem(word) for word in split_words(text)]


def join_stems(in_order: Iterable[str]) -> str:
    """Return stems as a text in which those of a phrase, joined as well, can be looked for."""
    return f" {' '.join(in_order)} "


def _build_synonyms() -> dict[str, frozenset[str]]:
    groups: dict[str, set[str]] = {}
    for line in SYNONYM_GROUPS.strip().splitlines():
        group = {stem(word) for word in line.split()}
        for member in group:
            groups.setdefault(member, set()).update(group - {member})
    return {member: frozenset(others) for member, others in groups.items()}


SYNONYMS = _build_synonyms()
"""Stem to the stems that people use for the same thing."""


class WordIndex:
    """The words of a text, as the terms of a question are looked up in it.

    Attributes:
        stems: of all its words, those in capitals as they are, and codes written as one word: AX-1234 as `ax1234`.
        joined: the stems of all its words, in order.
        initials: the first letters of its words in a row, as written.
    """

    def __init__(self, text: str) -> None:
        words = split_words(text)
        in_order = list(map(stem, words))
        codes = (fold(code) for code, _ in list_codes(text))
        self.stems = frozenset(in_order).union((word for word in words if word.isupper()), codes)
        self.joined = join_stems(in_order)
        self.initials = "".join(word[0] for word in words)

    def spells(self, acronym: str) -> bool:
        """Return whether words in a row start with the letters of the acronym (`Mean time between failures`: MTBF).

        Up to three letters turn up by chance, so their words must be capitalised.
        """
        return acronym in self.initials or (len(acronym) > 3 and acronym.lower() in self.initials.lower())
