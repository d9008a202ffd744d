"""What the ingest use cases need from the outside world, and the values that cross these ports."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from shared.contracts.documents import DocumentFailure

if TYPE_CHECKING:  # settings come by here, and nobody should wait for numpy to learn that one of them is wrong
    import numpy as np
    from numpy.typing import NDArray


class UnreadablePdfError(Exception):
    """The PDF can never be read as it is; `failure` tells its owner why and what to do."""

    def __init__(self, failure: DocumentFailure) -> None:
        super().__init__(failure.code)
        self.failure = failure


@dataclass(frozen=True)
class ParseProgress:
    """How many of a PDF's pages have been read.

    Attributes:
        recognized: what was read in pictures of the last one, which takes a second or more, for who has to begin anew.
    """

    pages_total: int
    pages_done: int
    recognized: bytes = field(default=b"", compare=False, repr=False)


class PdfParser(Protocol):
    """Reads PDFs without putting this process at risk."""

    @property
    def version(self) -> str:
        """A name for the way in which it reads: with another one, the same PDF may read differently."""
        ...

    def parse(self, path: Path, recognized: bytes = b"") -> AsyncGenerator[ParseProgress | bytes, None]:
        """Yield the progress page by page, and at last the stored parse (`domain/stored_parse.py`).

        `recognized` is all that the progress of an earlier try told of that name, one behind the other; it is not read
        once more. Close it if you stop before. Raises UnreadablePdfError.
        """
        ...


class Embedder(Protocol):
    """Turns texts into vectors.

    Attributes:
        model_id: names the model; one that gives other vectors has another name.
    """

    max_tokens: int
    model_id: str

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the word pieces of each text. Blocks: call it in a thread."""
        ...

    async def embed_passages(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """Return a float32 array of shape (number of texts, dimension)."""
        ...


Stage = Literal["parse", "embed", "write"]
"""Reading the pages of a document; computing vectors; writing points: the last two some passages at a time."""
JobOutcome = Literal["ready", "failed", "interrupted"]


class IngestMetrics:
    """Is told what the ingest does, for those who watch it. This one forgets it."""

    def count_job(self, outcome: JobOutcome, code: str = "") -> None:
        """Note what a job has come to; `code` says why a document failed."""

    def track_job(self) -> AbstractContextManager[object]:
        """Count a job as under way for a `with` block."""
        return nullcontext()

    def time(self, stage: Stage) -> AbstractContextManager[object]:
        """Measure how long a `with` block takes, however it ends."""
        return nullcontext()


NO_METRICS = IngestMetrics()
