"""Lets passages of the documents that a question names come before others, before the legs are fused.

A page of an annual report says neither whose it is nor of which year, and is nearly the page of another one. What a
question says of the document is therefore added to the scores of its passages, as if each said it itself. It is added,
not put first: a passage that is much nearer to the question stays before those of a document that only seems named.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from shared.vector_index.port import Hit, LegHits, order_hits

DENSE_LIFT = 0.1
"""Of the cosine similarity, for a document that is named surely. Pages of filings that are each other's are nearer."""
BM25_LIFT = 0.2
"""Of the best score of the leg: about what a word of the question weighs."""


def lift_named(legs: LegHits, named: Mapping[str, float]) -> LegHits:
    """Return the hits with higher scores for those of named documents, in the new order.

    Parameters:
        named: how surely the question names a document, 0 to 1, by its id. What is half sure counts a quarter.
    """
    if not named:
        return legs
    best = max((hit.score for hit in legs.bm25), default=0.0)
    return LegHits(dense=_lift(legs.dense, named, DENSE_LIFT), bm25=_lift(legs.bm25, named, BM25_LIFT * best))


def _lift(hits: Sequence[Hit], named: Mapping[str, float], lift: float) -> list[Hit]:
    return order_hits(
        [replace(hit, score=hit.score + lift * named.get(hit.payload.document_id, 0.0) ** 2) for hit in hits]
    )


def merge_legs(everywhere: LegHits, within: LegHits) -> LegHits:
    """Return the hits of two searches for the same question, each passage once."""
    return LegHits(dense=_merge(everywhere.dense, within.dense), bm25=_merge(everywhere.bm25, within.bm25))


def _merge(everywhere: Sequence[Hit], within: Sequence[Hit]) -> list[Hit]:
    return order_hits([*{hit.point_id: hit for hit in [*within, *everywhere]}.values()])
