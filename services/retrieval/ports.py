"""What the search needs from the outside world."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from shared.contracts.search import RerankerState

if TYPE_CHECKING:  # settings come by here, and nobody should wait for numpy to learn that one of them is wrong
    import numpy as np
    from numpy.typing import NDArray


class QueryEmbedder(Protocol):
    """Turns a question into a vector."""

    async def embed_query(self, text: str) -> "NDArray[np.float32]":
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
