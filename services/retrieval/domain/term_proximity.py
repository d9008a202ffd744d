"""Judges passages by how near to each other the question's words stand in them.

BM25 and embeddings weigh which words a passage has. Neither sees whether they stand together, as they do where a
passage speaks of what is asked. Both features are those of the sequential dependence model (Metzler & Croft, 2005):
words side by side, and words within a window.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from services.retrieval.domain.deviations import measure_spread

WINDOW_TERMS = 20
"""Within so many terms, stop words left out: two or three lines."""
FEATURE_WEIGHT = 4.0
"""Of each feature, which is a share, beside the fused score, in which a leg's standard deviation has 1: words that all
stand together are worth four of them, a word in ten hardly any. See decision 0035."""


@dataclass(frozen=True)
class Proximity:
    """Shares of what the question's words weigh, 0 to 1 each.

    Attributes:
        pairs: of the words that stand side by side in the question, those that do in the text.
        window: of all its words, the most within one window of the text.
    """

    pairs: float
    window: float


def rescore(
    question: Sequence[int],
    texts: Sequence[Sequence[int]],
    fused: Sequence[float],
    entries: Sequence[Sequence[Sequence[int]]] = (),
) -> list[float]:
    """Return a score per text: its fused one, and what proximity adds to it.

    Parameters:
        question: ids of its terms in order.
        texts: the same of each text.
        fused: each text's score, in standard deviations.
        entries: for each term of the question that texts may put in other words, the phrases that they may have; that
            they have one of them counts as a third feature.
    """
    features = zip(measure_proximity(question, texts), measure_phrases(entries, texts), strict=True)
    return [
        score + FEATURE_WEIGHT * (near.pairs + near.window + said)
        for score, (near, said) in zip(fused, features, strict=True)
    ]


def measure_phrases(entries: Sequence[Sequence[Sequence[int]]], texts: Sequence[Sequence[int]]) -> list[float]:
    """Return for each text how much it has of what may be said for each entry, 0 to 1 on average.

    Of an entry's phrases that one counts of which a text has most: the share of its pairs of terms that stand side by
    side in the text. A phrase of one term is there or not, one of none counts nothing.
    """
    wanted: list[list[set[int | tuple[int, int]]]] = [
        [{*pairwise(phrase)} or {*phrase} for phrase in phrases if phrase] for phrases in entries
    ]
    wanted = [phrases for phrases in wanted if phrases]
    if not wanted:
        return [0.0] * len(texts)
    found = [{*text, *pairwise(text)} for text in texts]
    return [
        _share(sum(max(len(parts & held) / len(parts) for parts in phrases) for phrases in wanted), len(wanted))
        for held in found
    ]


def measure_proximity(question: Sequence[int], texts: Sequence[Sequence[int]]) -> list[Proximity]:
    """Return the features of each text. A word weighs the more the fewer of these texts have it (BM25's idf)."""
    terms = set(question)
    texts_with = Counter(term for text in texts for term in terms.intersection(text))
    weights = {term: math.log(1 + (len(texts) - texts_with[term] + 0.5) / (texts_with[term] + 0.5)) for term in terms}
    wanted = {pair: weights[pair[0]] + weights[pair[1]] for pair in pairwise(question)}
    return [
        Proximity(
            pairs=_share(sum(wanted[pair] for pair in wanted.keys() & set(pairwise(text))), sum(wanted.values())),
            window=_share(_weigh_best_window(text, weights), sum(weights.values())),
        )
        for text in texts
    ]


def _weigh_best_window(text: Sequence[int], weights: Mapping[int, float]) -> float:
    """The most that the different terms within one window weigh."""
    places = [(place, term) for place, term in enumerate(text) if term in weights]
    inside: Counter[int] = Counter()
    best = total = 0.0
    first = 0
    for place, term in places:
        total += weights[term] if not inside[term] else 0.0
        inside[term] += 1
        while place - places[first][0] >= WINDOW_TERMS:
            left = places[first][1]
            inside[left] -= 1
            total -= weights[left] if not inside[left] else 0.0
            first += 1
        best = max(best, total)
    return best


def _share(part: float, whole: float) -> float:
    return min(part / whole, 1.0) if whole else 0.0


def standardise(values: Sequence[float]) -> list[float]:
    """Return each value's distance from the mean in standard deviations; 0 where all are the same."""
    if not values:
        return []
    mean, deviation = measure_spread(values)
    return [(value - mean) / deviation if deviation > 1e-9 else 0.0 for value in values]
