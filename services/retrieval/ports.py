"""What the search needs from the outside world."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from services.retrieval.domain.fusion import Candidate
from shared.contracts.search import GlossaryTerm, RerankerState

if TYPE_CHECKING:  # settings come by here, and nobody should wait for numpy to learn that one of them is wrong
    import numpy as np
    from numpy.typing import NDArray


class QueryEmbedder(Protocol):
    """Turns a question into a vector."""

    async def embed_query(self, text: str) -> "NDArray[np.float32]":
        """float32 array of shape (dimension,)."""
        ...


class TermReader(Protocol):
    """Reads a text as the lexical leg does. Safe to share by threads."""

    def list_terms(self, text: str, language: str | None = None) -> list[int]:
        """Return the ids of a text's terms in their order, as often as they occur; stop words are none.

        Ids of the same language can be compared.
        """
        ...


class Reranker(Protocol):
    """Reads a question and passages together and says how well they fit."""

    @property
    def state(self) -> RerankerState:
        """Whether it works, and if not, why."""
        ...

    @property
    def depth(self) -> int:
        """How many of the first candidates are worth the time that it takes for them."""
        ...

    async def score(self, query: str, candidates: Sequence[Candidate], terms: Sequence[GlossaryTerm]) -> list[float]:
        """One score per candidate, higher where it fits better. Called only while the state is `on`.

        Parameters:
            terms: those of the query that passages may put in other words.
        """
        ...

    def wait_for_weights(self, timeout_s: float) -> None:
        """Return when its weights are there or cannot be had, at most after so many seconds. Blocks."""
        ...

    def close(self) -> None:
        """Ends its threads."""
        ...
