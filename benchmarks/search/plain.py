"""The plain way to search, as most programs of this kind do it: everything in memory, everything compared.

rank-bm25 over all chunks, one product of all vectors with the question's, reciprocal rank fusion, and
`CrossEncoder.predict` for the best 20. Questions are embedded by `SentenceTransformer.encode`.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rank_bm25 import BM25Okapi
from sentence_transformers import CrossEncoder, SentenceTransformer
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

from benchmarks.search.corpus import Vectors
from shared.embedding.dense import locate_model

MODEL = "all-MiniLM-L6-v2"
CANDIDATES = 50
RERANKED = 20
RRF_K = 60


@dataclass(frozen=True)
class PlainTimes:
    """Milliseconds."""

    embed: float
    bm25: float
    dense: float
    rerank: float | None
    total: float


def make_cross_encoder(folder: Path) -> None:
    """Write a cross-encoder of the size of ms-marco-MiniLM-L6-v2, with random weights: what it says means nothing, only
    how long it takes."""
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=30522,
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
        max_position_embeddings=512,
    )
    config.num_labels = 1
    BertForSequenceClassification(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(locate_model(MODEL)).save_pretrained(folder)


class PlainSearch:
    """All chunks in memory. May be used by several threads at once, as a web framework would."""

    def __init__(self, texts: Sequence[str], vectors: Vectors, cross_encoder: Path) -> None:
        self._texts = texts
        self._vectors = vectors
        self._bm25 = BM25Okapi([text.lower().split() for text in texts])
        self._model = SentenceTransformer(locate_model(MODEL))
        self._cross_encoder = CrossEncoder(str(cross_encoder), num_labels=1)
        self._tokenizing = threading.Lock()
        """Fast tokenizers refuse two threads at once."""

    def search(self, question: str, *, rerank: bool) -> PlainTimes:
        """Search, and say how long each part took."""
        began = time.perf_counter()
        with self._tokenizing:
            vector = self._model.encode(question, show_progress_bar=False, normalize_embeddings=True)
        embedded = time.perf_counter()
        lexical = _find_best(self._bm25.get_scores(question.lower().split()))
        scored = time.perf_counter()
        dense = _find_best(self._vectors @ vector)
        compared = time.perf_counter()
        fused: dict[int, float] = defaultdict(float)
        for leg in (lexical, dense):
            for rank, place in enumerate(leg, start=1):
                fused[place] += 1 / (RRF_K + rank)
        best = sorted(fused, key=lambda place: -fused[place])[:RERANKED]
        reranked: float | None = None
        if rerank:
            reranked = self.rerank(question, [self._texts[place] for place in best])
        return PlainTimes(
            embed=(embedded - began) * 1000,
            bm25=(scored - embedded) * 1000,
            dense=(compared - scored) * 1000,
            rerank=reranked,
            total=(time.perf_counter() - began) * 1000,
        )

    def embed(self, question: str) -> float:
        """Embed a question, and return the milliseconds of CPU."""
        before = time.process_time()
        self._model.encode(question, show_progress_bar=False, normalize_embeddings=True)
        return (time.process_time() - before) * 1000

    def rerank(self, question: str, texts: Sequence[str]) -> float:
        """Score passages in one forward pass, and return the milliseconds."""
        began = time.perf_counter()
        with self._tokenizing:
            self._cross_encoder.predict(
                [(question, text) for text in texts], batch_size=len(texts), show_progress_bar=False
            )
        return (time.perf_counter() - began) * 1000


def _find_best(scores: Vectors) -> list[int]:
    count = min(CANDIDATES, len(scores))
    best = np.argpartition(-scores, count - 1)[:count]
    places: list[int] = best[np.argsort(-scores[best])].tolist()
    return places
