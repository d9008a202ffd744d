"""Leaves the names of a document out of a question about it.

Within one document its name tells no passage from another, and of a question's vector it may be much: "What is Nike's
capital expenditure in FY2018?" is then nearest to whatever passage has Nike's name. Periods stay: a report has the
figures of several years.
"""

from collections.abc import Sequence

from services.retrieval.domain.named_documents import UNCLEAR, find_rarity
from shared.document_cards.words import Word
from shared.registry.cards import CardMatches

MAX_WORDS = 100
"""Of a long question, the first that may be names: each is asked for twice."""


def list_terms_of_names(words: Sequence[Word]) -> list[str]:
    """Return the terms under which cards have the words that are written as names are."""
    terms = dict.fromkeys(word.term for word in words if _may_be_name(word))
    return [form for term in list(terms)[:MAX_WORDS] for form in _list_forms(term)]


def leave_out_names(question: str, words: Sequence[Word], document_id: str, matches: CardMatches) -> str:
    """Return the question without the words that name the document; as it is where nothing but names is asked.

    Parameters:
        words: those of the question, without periods.
        matches: of the cards with `list_terms_of_names(words)`. A word names the document if few other cards have it.
    """
    names = [word for word in words if _may_be_name(word) and _names_document(word.term, document_id, matches)]
    if not names or all(word in names or not word.term for word in words):
        return question
    kept, end = [], 0
    for name in names:
        kept.append(question[end : name.start])
        end = name.end
    return " ".join("".join([*kept, question[end:]]).split())


def _may_be_name(word: Word) -> bool:
    return bool(word.term) and (word.raw[0].isupper() or word.marked)


def _names_document(term: str, document_id: str, matches: CardMatches) -> bool:
    return any(
        matches.weights.get(form, {}).get(document_id, 0.0) * find_rarity(form, matches) >= UNCLEAR
        for form in _list_forms(term)
    )


def _list_forms(term: str) -> tuple[str, str]:
    """As a word of its title, and as one that its text has often."""
    return term, f"@{term}"
