"""The port of the lexical encoder. Those of the embedding model are each service's own: it needs a part of it only."""

from collections.abc import Sequence
from typing import Literal, Protocol

from shared.vector_index.port import SparseVector

Precision = Literal["auto", "float32", "bfloat16"]
"""Of the multiplications for passages. `auto`: bfloat16 where the processor has units for it, float32 elsewhere."""


Engine = Literal["auto", "torch", "openvino"]
"""What multiplies. `auto`: OpenVINO where its package is, on x86 without a GPU; torch elsewhere."""


Kind = Literal["document", "query"]
"""What a text is: a passage or a question."""


class SparseEncoder(Protocol):
    """Encodes texts for the lexical leg. Safe to share by threads; it computes, so call it for many texts in one."""

    def encode_passages(
        self, texts: Sequence[str], languages: Sequence[str | None] | None = None
    ) -> list[SparseVector]:
        """Return one vector per text.

        Parameters:
            languages: the one of each text (ISO 639-1), None where it is not known; not given: of none.
        """
        ...

    def encode_query(self, text: str) -> SparseVector:
        """Return the terms of a question."""
        ...
