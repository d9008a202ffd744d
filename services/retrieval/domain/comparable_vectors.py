"""Keeps apart what vectors of two models say: a cosine between them is a number without meaning."""

from collections.abc import Set as AbstractSet
from dataclasses import replace

from shared.vector_index.port import LegHits
from shared.version_names import is_embedded_by


def find_others(legs: LegHits, model_id: str) -> AbstractSet[str]:
    """Return the ids of the hits that another model than this one has embedded."""
    return {hit.point_id for hit in [*legs.dense, *legs.bm25] if not is_embedded_by(hit.payload.version, model_id)}


def leave_out_others(legs: LegHits, others: AbstractSet[str]) -> tuple[LegHits, LegHits]:
    """Return the hits to fuse, and the same with the scores to tell, without cosines to vectors of another model.

    A passage of another model's is found by its words alone, and counts as the least near of the others: it neither
    gains nor loses by what nobody knows. Where all are of another model the dense leg has no say.

    Parameters:
        others: ids of the hits of another model.
    """
    if not others:
        return legs, legs
    near = [hit for hit in legs.dense if hit.point_id not in others]
    found = {hit.point_id for hit in near}
    lowest = min((hit.score for hit in near), default=0.0)
    unknown = [replace(hit, score=lowest) for hit in legs.bm25 if hit.point_id not in found]
    return LegHits([*near, *unknown], legs.bm25), LegHits(near, legs.bm25)
