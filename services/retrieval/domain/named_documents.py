"""Says which documents a question names, by the cards that have its terms.

A term tells documents apart as far as it is rare on the cards of the tenant: one that all have names none. A name
counts by itself; a year or a form of year only tells apart what is named, as every text has years, unless the question
writes it as those do who keep accounts (FY2018, Q2): then it names, too, though less.
"""

import math
from collections.abc import Mapping

from services.retrieval.domain.question_names import QuestionNames
from shared.registry.cards import CardMatches

PERIOD_ALONE = 0.5
"""How far a fiscal period names a document without any name."""
CLEAR = 0.5
"""A document that is named so surely is searched by itself, too."""
MAX_CLEAR = 10
UNCLEAR = 0.3
"""Who is named less surely is not named: every question has some word of some title."""


def judge_documents(names: QuestionNames, matches: CardMatches) -> dict[str, float]:
    """Return the documents that a question names, and how surely, 0 to 1."""
    sums: dict[str, float] = {}
    for term, weight in names.names.items():
        rarity = _find_rarity(term, matches)
        for document_id, card_weight in matches.weights.get(term, {}).items():
            sums[document_id] = sums.get(document_id, 0.0) + weight * rarity * card_weight
    named = {document_id: min(1.0, total) for document_id, total in sums.items()}
    for term, fiscal in names.periods.items():
        rarity = _find_rarity(term, matches)
        for document_id, card_weight in matches.weights.get(term, {}).items():
            known = max(named.get(document_id, 0.0), PERIOD_ALONE if fiscal else 0.0)
            sums[document_id] = sums.get(document_id, 0.0) + known * rarity * card_weight
    most = max(1.0, *sums.values()) if sums else 1.0
    return {document_id: total / most for document_id, total in sums.items() if total / most >= UNCLEAR}


def choose_clear(named: Mapping[str, float]) -> list[str]:
    """Return those documents that are named clearly, the surest first."""
    ordered = sorted(named.items(), key=lambda pair: (-pair[1], pair[0]))
    return [document_id for document_id, sureness in ordered[:MAX_CLEAR] if sureness >= CLEAR]


def _find_rarity(term: str, matches: CardMatches) -> float:
    """0 for a term of all cards, 1 for one of a single card."""
    count = matches.counts.get(term, 0)
    if count == 0 or matches.cards < 2:
        return 0.0
    return max(0.0, math.log(matches.cards / count) / math.log(matches.cards))
