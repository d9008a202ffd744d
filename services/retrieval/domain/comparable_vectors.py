"""Keeps apart what vectors of two models say: a cosine between them is a number without meaning."""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from services.retrieval.domain.deviations import measure_spread
from shared.vector_index.port import Hit, LegHits, order_hits
from shared.version_names import is_embedded_by

Scale = Callable[[float], float]
"""Turns cosines of one model into what another one would say."""


def find_others(legs: LegHits, *model_ids: str) -> AbstractSet[str]:
    """Return the ids of the hits that another model than these has embedded."""
    return {
        hit.point_id
        for hit in [*legs.dense, *legs.bm25]
        if not any(is_embedded_by(hit.payload.version, model_id) for model_id in model_ids)
    }


def leave_out_others(legs: LegHits, others: AbstractSet[str]) -> tuple[LegHits, LegHits]:
    """Return the hits to fuse, and the same with the scores to tell, without cosines to vectors of another model.

    A passage of another model's is found by its words alone, and counts as the least near of the others: it neither
    gains nor loses by what nobody knows. Where all are of another model the dense leg has no say.

    Parameters:
        others: ids of the hits of another model.
    """
    if not others:
        return legs, legs
    near = LegHits([hit for hit in legs.dense if hit.point_id not in others], legs.bm25)
    return _fill_in(near), near


def _fill_in(legs: LegHits) -> LegHits:
    """The hits with those of words alone as the least near ones."""
    found = {hit.point_id for hit in legs.dense}
    lowest = min((hit.score for hit in legs.dense), default=0.0)
    unknown = [replace(hit, score=lowest) for hit in legs.bm25 if hit.point_id not in found]
    return LegHits([*legs.dense, *unknown], legs.bm25)


def make_scale(former: Sequence[float], own: Sequence[float]) -> Scale:
    """Return what turns cosines of the model of before into those of ours.

    Models differ in how near to each other they find any two texts: .1 on average or .7, and more or less apart. What
    is as far above that, in standard deviations, is as near.

    Parameters:
        former: cosines of a question to some texts that have nothing to do with it, by the model of before.
        own: those to the same texts, by ours.
    """
    (low, spread), (own_low, own_spread) = measure_spread(former), measure_spread(own)
    return lambda cosine: own_low + own_spread * (cosine - low) / max(spread, 1e-6)


def join_models(
    legs: LegHits, former: Sequence[Hit], former_id: str, model_id: str, scale: Scale
) -> tuple[LegHits, LegHits]:
    """Return the hits to fuse, and the same with the scores to tell: those of both models as one leg of meaning.

    Each passage is in it by the model that has embedded it; what a third one has counts as `leave_out_others` says.

    Parameters:
        former: hits by the model of before, `former_id`.
    """
    own = [hit for hit in legs.dense if is_embedded_by(hit.payload.version, model_id)]
    old = [hit for hit in former if is_embedded_by(hit.payload.version, former_id)]
    scaled = [replace(hit, score=scale(hit.score)) for hit in old]
    return _fill_in(LegHits(order_hits([*own, *scaled]), legs.bm25)), LegHits([*own, *old], legs.bm25)
