"""Wire contract of the retrieval service: `POST /search`."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

MAX_QUESTION_CHARS = 4000
MAX_TOP_K = 50


DocumentId = Annotated[str, StringConstraints(min_length=1, max_length=200)]
"""Of which any that is unknown is simply not found."""


class SearchFilter(BaseModel):
    """Narrows a search; the tenant always applies and is not part of it."""

    document_ids: list[DocumentId] | None = Field(default=None, max_length=1000)


class SearchRequest(BaseModel):
    """A question of one tenant."""

    tenant: str = Field(min_length=1, max_length=128)
    query: str = Field(min_length=1, max_length=MAX_QUESTION_CHARS)
    top_k: int = Field(default=5, ge=1, le=MAX_TOP_K)
    filter: SearchFilter = SearchFilter()


class StageScores(BaseModel):
    """What each stage thought of a passage; null where the stage did not see it or is off."""

    dense: float | None = Field(default=None, description="cosine similarity, -1..1")
    bm25: float | None = Field(default=None, description="BM25 score, 0 and up")
    fused: float = Field(description="of both legs together")
    rerank: float | None = Field(default=None, description="cross-encoder, 0..1; offline: as `fused`, plus proximity")


class Span(BaseModel):
    """Part of a text, in Unicode characters (not in UTF-16 units, as JavaScript counts)."""

    start: int = Field(ge=0)
    end: int = Field(ge=0, description="one past the last character")


class Passage(BaseModel):
    """Part of a page that may hold the answer: a chunk, or several that stand side by side."""

    document_id: str
    chunk_id: int = Field(description="the passage's number in its document, from 0; of several, the best one's")
    title: str
    page: int = Field(ge=1)
    start: int = Field(ge=0, description="first character of the passage in its page's text")
    end: int = Field(ge=0, description="one past the last character")
    text: str
    ocr_confidence: float | None = Field(
        default=None,
        description="0..1: some of it was recognized in pictures of the page, and how surely; null: none was",
    )
    table_head: str = Field(
        default="",
        description="the heads of the columns of a table of which the text is a later part, from above it; else empty",
    )
    best_sentence: Span | None = Field(
        default=None,
        description="the sentence of `text` that has most of the question's words, if any has one",
    )
    score: float = Field(description="of the last stage that ran")
    scores: StageScores


class SearchTimings(BaseModel):
    """Milliseconds spent per stage; `rerank` is null when reranking is off."""

    embed: float
    search: float
    rerank: float | None
    total: float


class GlossaryTerm(BaseModel):
    """A term of the question for which documents have other words."""

    term: str = Field(description="as it stands in the question")
    phrases: list[str] = Field(description="what documents may say in its place: alternatives, or the lines of a ratio")


OFFLINE_RERANKER = "term-proximity"
"""The `model` that needs no weights."""


class RerankerState(BaseModel):
    """Whether passages are reranked, by what, and if not by the cross-encoder that is wished for, why."""

    status: Literal["on", "off", "loading"]
    model: str | None = Field(default=None, description="a cross-encoder's name, or `term-proximity`")
    reason: str | None = Field(
        default=None, description="disabled, weights_unavailable, cross_encoder_loading; null where all is as wished"
    )


class SearchResponse(BaseModel):
    """Passages, best first."""

    passages: list[Passage]
    timings_ms: SearchTimings
    reranker: RerankerState
    fingerprint: str = Field(
        default="", description="equal for searches that would find the same in the same documents; empty: not told"
    )
    terms: list[GlossaryTerm] = Field(
        default=[], description="those of the question that a glossary knows; older services tell none"
    )


class SearchFingerprint(BaseModel):
    """The `fingerprint` that a search would have now."""

    fingerprint: str
