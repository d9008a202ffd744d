"""Knows what documents say where a question has other words: capex is "purchases of property, plant and equipment".

A glossary is a text with a line for each entry, `term, term = what documents say | what others say`; lines that begin
with # are comments. A term with a capital letter stands for itself only as it is written (IT, not it); of others case
and a plural's s do not matter. Questions are read by words: a term with a sign that would be lost (C++) is refused.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from shared.contracts.search import GlossaryTerm
from shared.vector_index.port import SparseVector

PHRASE_WEIGHT = 0.5
"""Of what the glossary says beside the question's own words, in both legs: it may not be what this document says."""
_WORD = re.compile(r"[^\W_]+(?:&[^\W_]+)*")
"""`SG&A` is one."""
_LEADING_DOT = re.compile(r"(?<!\w)\.(?=\w)")
_SIGNS = "#%@*"
"""That are punctuation to Unicode; the others are symbols."""


class GlossaryError(ValueError):
    """A line is no entry; the message says which and why."""


@dataclass(frozen=True)
class Glossary:
    """Terms and what documents say for them.

    Attributes:
        name: follows from the entries; other ones find other passages.
        entries: phrases by the words of a term: as they are written, where it has a capital letter, else plain ones.
    """

    name: str = ""
    entries: Mapping[tuple[str, ...], Sequence[str]] = field(default_factory=dict, repr=False)

    @cached_property
    def _lengths(self) -> Sequence[int]:
        """How many words terms have, the longest first."""
        return sorted({len(term) for term in self.entries}, reverse=True)

    def find_terms(self, question: str) -> list[GlossaryTerm]:
        """Return the question's terms with what documents may say, each once. Of terms that overlap the longest counts,
        and of two as long the first."""
        found: dict[str, GlossaryTerm] = {}
        for term in self._find(question, list(_WORD.finditer(question))):
            found.setdefault(term.term, term)
        return list(found.values())

    def _find(self, question: str, words: Sequence[re.Match[str]]) -> Iterator[GlossaryTerm]:
        written = [word[0] for word in words]
        plain = [_make_plain(word) for word in written]
        start = 0
        while start < len(words):
            for end in (start + length for length in self._lengths if start + length <= len(words)):
                phrases = self.entries.get(tuple(written[start:end])) or self.entries.get(tuple(plain[start:end]))
                if phrases:
                    term = question[words[start].start() : words[end - 1].end()]
                    yield GlossaryTerm(term=term, phrases=list(phrases))
                    start = end
                    break
            else:
                start += 1


NO_GLOSSARY = Glossary()


def read_glossary(text: str) -> Glossary:
    """Return the glossary that a text describes. Raises GlossaryError."""
    entries: dict[tuple[str, ...], list[str]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        terms, _, said = line.partition("=")
        phrases = [phrase.strip() for phrase in said.split("|") if _WORD.search(phrase)]
        keys = [_make_key(term) for term in terms.split(",")]
        if not phrases or not all(keys):
            raise GlossaryError(f"line {number} is not `term, term = phrase | phrase`: {line.strip()[:80]!r}")
        if lost := _find_lost_sign(terms):
            raise GlossaryError(
                f"line {number} has a term with {lost!r}, which is not seen in questions: C++ would be C."
                f" Use words: {line.strip()[:80]!r}"
            )
        for key in keys:
            entries.setdefault(key, []).extend(phrases)
    return Glossary(hashlib.sha256(repr(sorted(entries.items())).encode()).hexdigest()[:16], entries)


def list_phrases(terms: Iterable[GlossaryTerm]) -> list[str]:
    """Return what documents may say for any of the terms, each once."""
    return list(dict.fromkeys(phrase for term in terms for phrase in term.phrases))


def add_terms(own: SparseVector, said: SparseVector) -> SparseVector:
    """Return a question's terms with those of what the glossary says, which weigh PHRASE_WEIGHT."""
    weights = dict(zip(said.indices, (PHRASE_WEIGHT * value for value in said.values), strict=True))
    weights |= zip(own.indices, own.values, strict=True)
    return SparseVector(indices=list(weights), values=list(weights.values()))


def _find_lost_sign(terms: str) -> str:
    """Return a sign that tells terms apart (C++, C#, .NET, % of sales) but is in no word; empty: there is none."""
    signs = (sign for sign in terms if unicodedata.category(sign).startswith("S") or sign in _SIGNS)
    return next(signs, "." if _LEADING_DOT.search(terms) else "")


def _make_key(term: str) -> tuple[str, ...]:
    words = _WORD.findall(term)
    return tuple(words if any(map(str.isupper, term)) else map(_make_plain, words))


def _make_plain(word: str) -> str:
    word = word.casefold()
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
