"""Reranker with a cross-encoder of sentence-transformers, by name or by folder.

Its weights may have to come from a hub that does not answer: they are loaded by a thread that nobody waits for. Until
they are there, and when they cannot be had, searches answer without reranking and say so.
"""

import threading
from collections.abc import Sequence
from itertools import islice

import structlog
import torch
from sentence_transformers import CrossEncoder

from services.retrieval.domain.fusion import Candidate
from services.retrieval.ports import Reranker
from shared.contracts.search import GlossaryTerm, RerankerState
from shared.embedding.batched_calls import BatchedCalls
from shared.embedding.dense import plan_batches

log = structlog.get_logger(__name__)

BATCH_SEARCHES = 8
"""Searches whose passages are scored together."""
CHARACTERS_PER_TOKEN = 4
"""Of English, roughly: pairs are grouped by it, so that counting their word pieces costs nothing."""


class CrossEncoderReranker:
    """Loads its model in the background from the moment it is made."""

    depth = 20

    def __init__(self, model: str) -> None:
        self._name = model
        self._model: CrossEncoder | None = None
        self._reason: str | None = None
        self._searches = BatchedCalls(self._score_searches, most=BATCH_SEARCHES, name="rerank")
        self.loaded = threading.Event()
        # A daemon, because a hub that does not answer must not keep the process from ending either.
        threading.Thread(target=self._load, name="load-reranker", daemon=True).start()

    @property
    def state(self) -> RerankerState:
        """Whether passages are reranked now."""
        if self._model is not None:
            return RerankerState(status="on", model=self._name)
        if self._reason is not None:
            return RerankerState(status="off", model=self._name, reason=self._reason)
        return RerankerState(status="loading", model=self._name)

    async def score(self, query: str, candidates: Sequence[Candidate], terms: Sequence[GlossaryTerm]) -> list[float]:
        """One score of 0 to 1 per candidate, by the question as it is."""
        if not candidates:
            return []
        return await self._searches.call([(query, candidate.payload.text) for candidate in candidates])

    def wait_for_weights(self, timeout_s: float) -> None:
        """Until they are loaded, or cannot be had."""
        self.loaded.wait(timeout_s)

    def close(self) -> None:
        """Waits for what is being computed."""
        self._searches.close()

    def _load(self) -> None:
        try:
            self._model = CrossEncoder(self._name, num_labels=1)
            log.info("reranker_on", model=self._name)
        except Exception as error:  # noqa: BLE001 - hub, disk and format errors all mean: no weights
            self._reason = "weights_unavailable"
            log.warning("reranker_off", model=self._name, reason=self._reason, error=type(error).__name__)
        finally:
            self.loaded.set()

    def _score_searches(self, searches: Sequence[Sequence[tuple[str, str]]]) -> list[list[float]]:
        assert self._model is not None  # noqa: S101 - the state is `on`
        pairs = [pair for search in searches for pair in search]
        lengths = [(len(query) + len(text)) // CHARACTERS_PER_TOKEN for query, text in pairs]
        scores = [0.0] * len(pairs)
        for batch in plan_batches(lengths, self._model.max_seq_length or 512):
            predicted = self._model.predict(
                [pairs[index] for index in batch],
                batch_size=len(batch),
                activation_fn=torch.nn.Sigmoid(),
                show_progress_bar=False,
            )
            for index, score in zip(batch, predicted, strict=True):
                scores[index] = float(score)
        ordered = iter(scores)
        return [list(islice(ordered, len(search))) for search in searches]


class CrossEncoderOrElse:
    """The cross-encoder as soon as its weights are there, and until then, or without them, another reranker."""

    def __init__(self, cross_encoder: CrossEncoderReranker, other: Reranker) -> None:
        self._cross_encoder = cross_encoder
        self._other = other

    @property
    def state(self) -> RerankerState:
        """The one in force, and why it is not the cross-encoder."""
        wanted = self._cross_encoder.state
        if wanted.status == "on":
            return wanted
        return self._other.state.model_copy(update={"reason": wanted.reason or "cross_encoder_loading"})

    @property
    def depth(self) -> int:
        """That of the one in force."""
        return self._choose().depth

    async def score(self, query: str, candidates: Sequence[Candidate], terms: Sequence[GlossaryTerm]) -> list[float]:
        """The scores of the one in force."""
        return await self._choose().score(query, candidates, terms)

    def _choose(self) -> Reranker:
        return self._cross_encoder if self._cross_encoder.state.status == "on" else self._other

    def wait_for_weights(self, timeout_s: float) -> None:
        """Those of the cross-encoder."""
        self._cross_encoder.wait_for_weights(timeout_s)

    def close(self) -> None:
        """Ends both."""
        self._cross_encoder.close()
        self._other.close()


class NoReranker:
    """Stands in where reranking is switched off by the settings."""

    state = RerankerState(status="off", reason="disabled")
    depth = 0

    async def score(self, query: str, candidates: Sequence[Candidate], terms: Sequence[GlossaryTerm]) -> list[float]:
        """Never called: the state is `off`."""
        raise RuntimeError("reranking is disabled")

    def wait_for_weights(self, timeout_s: float) -> None:
        """It has none."""

    def close(self) -> None:
        """Nothing to end."""
