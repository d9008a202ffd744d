"""What a search says of how it works: the same only while it would find the same."""

from dataclasses import replace
from typing import Any, cast

from services.retrieval.adapters.cross_encoder import NoReranker
from services.retrieval.domain.fusion import FusionWeights
from services.retrieval.domain.glossary import read_glossary
from services.retrieval.main import make_search_identity
from services.retrieval.use_cases.search_passages import SearchDependencies, SearchOptions
from shared.contracts.search import RerankerState

NOTHING = cast("Any", None)
OPTIONS = SearchOptions(candidates=50, rerank_count=20, fusion=FusionWeights(k=60, dense=1, bm25=1))
DEPS = SearchDependencies(NOTHING, NOTHING, NOTHING, NOTHING, NoReranker(), OPTIONS, identity="code model")
ON, LOADING = RerankerState(status="on", model="m"), RerankerState(status="loading", model="m")


def test_whatever_changes_a_search_changes_its_fingerprint() -> None:
    """Options, code, the embedding model, and whether passages are reranked, and by which model."""
    others = [
        DEPS.make_fingerprint(ON),
        DEPS.make_fingerprint(LOADING),
        DEPS.make_fingerprint(RerankerState(status="on", model="other")),
        replace(DEPS, identity="code other").make_fingerprint(ON),
        replace(DEPS, options=replace(OPTIONS, candidates=51)).make_fingerprint(ON),
        replace(DEPS, options=replace(OPTIONS, glossary=read_glossary("capex = purchases"))).make_fingerprint(ON),
        replace(DEPS, options=replace(OPTIONS, glossary=read_glossary("capex = additions"))).make_fingerprint(ON),
        replace(DEPS, options=replace(OPTIONS, fusion=FusionWeights(k=2, dense=1, bm25=1))).make_fingerprint(ON),
    ]
    assert len({*others}) == len(others)
    assert replace(DEPS, options=replace(OPTIONS)).make_fingerprint(ON) == others[0]


def test_a_search_that_nobody_has_named_has_none() -> None:
    """Then nothing is kept of it."""
    assert replace(DEPS, identity="").make_fingerprint(ON) == ""


def test_the_identity_is_that_of_code_and_model() -> None:
    """The same each time it is asked for."""
    assert make_search_identity("a") == make_search_identity("a") != make_search_identity("b")
