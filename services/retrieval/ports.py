"""What the search needs from the outside world."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shared.contracts.search import RerankerState


class QueryEmbedder(Protocol):
    """Turns a question into a vector."""

    async def embed_query(self, text: str) -> NDArray[np.float32]:
        """float32 array of shape (dimension,)."""
        ...


class Reranker(Protocol):
    """Reads a question and a passage together and says how well they fit."""

    @property
    def state(self) -> RerankerState:
        """Whether it works, and if not, why."""
        ...

    async def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """One score of 0 to 1 per text. Called only while the state is `on`."""
        ...

    def close(self) -> None:
        """Ends its threads."""
        ...
