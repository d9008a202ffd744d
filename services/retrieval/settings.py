"""Settings of the retrieval service."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from services.retrieval.domain.fusion import FusionMethod, FusionWeights
from services.retrieval.domain.glossary import NO_GLOSSARY, Glossary, read_glossary
from services.retrieval.use_cases.search_passages import SearchOptions
from services.retrieval.use_cases.search_permits import MAX_SEARCHES_AT_ONCE
from shared.settings import IndexSettings

_BUILT_IN_GLOSSARY = Path(__file__).with_name("glossary.txt")


class RetrievalSettings(IndexSettings):
    """What the service is told; `PAGEWIRE_` + the field's name in capitals."""

    host: str = Field(default="127.0.0.1", description="PAGEWIRE_HOST: address to listen on")
    port: int = Field(default=8001, ge=0, le=65535, description="PAGEWIRE_PORT: port to listen on")
    embedding_model_before: str | None = Field(
        default=None,
        description="PAGEWIRE_EMBEDDING_MODEL_BEFORE: while a change of PAGEWIRE_EMBEDDING_MODEL is under way, the one"
        " of before: by it documents are found by meaning that are not made anew yet. It takes the memory and the time"
        " of a second model, so that it is to be unset when all are",
    )
    reranker: Literal["auto", "cross-encoder", "offline", "off"] = Field(
        default="auto",
        description="PAGEWIRE_RERANKER: `offline` orders passages by how near to each other the question's words stand,"
        " which needs no model; `auto` does so as long as the cross-encoder's weights are not there",
    )
    reranker_model: str = Field(
        default="cross-encoder/ms-marco-MiniLM-L6-v2",
        description="PAGEWIRE_RERANKER_MODEL: a cross-encoder's name or folder; `off`: none is looked for",
    )
    rerank_count: int | None = Field(
        default=None,
        ge=1,
        le=200,
        description="PAGEWIRE_RERANK_COUNT: passages reranked, or all that are asked for where those are more; unless"
        " set 20 by a cross-encoder, of which each costs a forward pass, and 50 without a model",
    )
    search_candidates: int = Field(
        default=50, ge=1, le=1000, description="PAGEWIRE_SEARCH_CANDIDATES: hits that each leg gives to the fusion"
    )
    max_searches_at_once: int = Field(
        default=MAX_SEARCHES_AT_ONCE,
        ge=1,
        description="PAGEWIRE_MAX_SEARCHES_AT_ONCE: in one retrieval service; further ones are refused (503) at once",
    )
    fusion: FusionMethod = Field(
        default="scores",
        description="PAGEWIRE_FUSION: `scores` adds up the scores of both legs, each in its own standard deviations;"
        " `ranks` is reciprocal rank fusion (RRF), which finds less (decision 0029)",
    )
    fusion_dense_weight: float = Field(
        default=1.0, ge=0, description="PAGEWIRE_FUSION_DENSE_WEIGHT: trust in the dense leg"
    )
    fusion_bm25_weight: float = Field(
        default=1.0, ge=0, description="PAGEWIRE_FUSION_BM25_WEIGHT: trust in the lexical leg"
    )
    fusion_k: int = Field(
        default=60, ge=1, description="PAGEWIRE_FUSION_K: RRF's constant; 60 as published (Qdrant's own default is 2)"
    )

    documents_first: bool = Field(
        default=True,
        description="PAGEWIRE_DOCUMENTS_FIRST: passages of documents that a question names come before others",
    )

    glossary: str = Field(
        default="built-in",
        description="PAGEWIRE_GLOSSARY: what documents say where questions have other words (capex: purchases of"
        " property, plant and equipment). `built-in` knows those of financial statements, which finds more in filings;"
        " a path: a file of your own, `term, term = phrase | phrase` in each line; `off`: none",
    )

    @field_validator("glossary")
    @classmethod
    def _must_be_readable(cls, glossary: str) -> str:
        if glossary != "built-in":
            load_glossary(glossary)
        return glossary

    def make_search_options(self) -> SearchOptions:
        """The options of every search. Reads the glossary's file: not on the event loop."""
        fusion = FusionWeights(self.fusion_dense_weight, self.fusion_bm25_weight, self.fusion, self.fusion_k)
        return SearchOptions(
            candidates=self.search_candidates,
            rerank_count=self.rerank_count,
            fusion=fusion,
            documents_first=self.documents_first,
            glossary=load_glossary(self.glossary),
        )


def load_glossary(choice: str) -> Glossary:
    """Return what PAGEWIRE_GLOSSARY chooses. Reads a file. Raises ValueError, which pydantic tells with the setting."""
    if choice == "off":
        return NO_GLOSSARY
    path = _BUILT_IN_GLOSSARY if choice == "built-in" else Path(choice)
    try:
        return read_glossary(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{choice} cannot be read ({error}); `built-in`, `off` or a file is possible") from None
