"""Keeps apart what vectors of two models say: a cosine between them is a number without meaning."""

from dataclasses import replace

from shared.vector_index.port import LegHits
from shared.version_names import is_embedded_by


def leave_out_others(legs: LegHits, model_id: str) -> tuple[LegHits, LegHits]:
    """Return the hits to fuse, and the same with the scores to tell, without cosines to vectors of another model.

    A passage of another model's is found by its words alone, and counts as the least near of the others: it neither
    gains nor loses by what nobody knows. Where all are of another model the dense leg has no say.
    """
    near = [hit for hit in legs.dense if is_embedded_by(hit.payload.version, model_id)]
    if len(near) == len(legs.dense):
        return legs, legs
    found = {hit.point_id for hit in near}
    lowest = min((hit.score for hit in near), default=0.0)
    unknown = [replace(hit, score=lowest) for hit in legs.bm25 if hit.point_id not in found]
    return LegHits([*near, *unknown], legs.bm25), LegHits(near, legs.bm25)
