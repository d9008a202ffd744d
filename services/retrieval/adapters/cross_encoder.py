"""Reranker with a cross-encoder of sentence-transformers, by name or by folder.

Its weights may have to come from a hub that does not answer: they are loaded by a thread that nobody waits for. Until
they are there, and when they cannot be had, searches answer without reranking and say so.
"""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog
import torch
from sentence_transformers import CrossEncoder

from shared.contracts.search import RerankerState

log = structlog.get_logger(__name__)

BATCH_SIZE = 20


class CrossEncoderReranker:
    """Loads its model in the background from the moment it is made."""

    def __init__(self, model: str) -> None:
        self._name = model
        self._model: CrossEncoder | None = None
        self._reason: str | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rerank")
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

    async def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """One score of 0 to 1 per text."""
        if not texts:
            return []
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._predict, query, texts)

    def close(self) -> None:
        """Waits for what is being computed."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _load(self) -> None:
        try:
            self._model = CrossEncoder(self._name, num_labels=1)
            log.info("reranker_on", model=self._name)
        except Exception as error:  # noqa: BLE001 - hub, disk and format errors all mean: no weights
            self._reason = "weights_unavailable"
            log.warning("reranker_off", model=self._name, reason=self._reason, error=type(error).__name__)
        finally:
            self.loaded.set()

    def _predict(self, query: str, texts: Sequence[str]) -> list[float]:
        assert self._model is not None  # noqa: S101 - the state is `on`
        pairs = [(query, text) for text in texts]
        scores = self._model.predict(
            pairs, batch_size=BATCH_SIZE, activation_fn=torch.nn.Sigmoid(), show_progress_bar=False
        )
        return [float(score) for score in scores]


class NoReranker:
    """Stands in where reranking is switched off by the settings."""

    state = RerankerState(status="off", reason="disabled")

    async def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Never called: the state is `off`."""
        raise RuntimeError(f"reranking is disabled, yet {len(texts)} texts were to be scored for {query!r}")

    def close(self) -> None:
        """Nothing to end."""
