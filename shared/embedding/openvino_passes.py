"""The forward pass of an embedding model by OpenVINO: on x86 half to two thirds of torch's CPU time.

Only the transformer is converted. What sentence-transformers does before and after it (word pieces, pooling) stays.
"""

import logging
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Transformer

if TYPE_CHECKING:
    import openvino

Features = dict[str, Any]
"""What sentence-transformers makes of a batch of texts: tensors of shape (texts, word pieces), among others."""

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")

_LEAST_COSINE = {False: 0.9999, True: 0.999}
"""To torch's float32, below which the pass is refused; by whether it multiplies in bfloat16."""

_PROBES = (
    ["", "word", "How much did the unit sell in 2019?"],
    [" ".join(str(number) for number in range(300))],
)
"""Batches that a pass is tried with: with padding and without, of no words up to the most that the model takes."""


class NotConvertibleError(Exception):
    """The model is none whose transformer alone can be converted, or its vectors came out different."""


class OpenVinoPass:
    """Turns features into vectors as the model does. Safe to share by threads: calls are computed one after the other.

    Parameters:
        transformer: the model's first module, compiled; it has one output, the last hidden state.
        rest: the modules that come after it.
    """

    def __init__(self, transformer: "openvino.CompiledModel", rest: Sequence[torch.nn.Module]) -> None:
        self._transformer = transformer
        self._inputs = [name for name in _INPUTS if any(name in port.get_names() for port in transformer.inputs)]
        self._rest = rest
        self._computing = threading.Lock()  # a compiled model refuses a call while it computes

    def __call__(self, features: Features) -> torch.Tensor:
        """Return float32 of shape (texts, dimension), not normalized unless the model does so."""
        with self._computing:
            hidden = self._transformer({name: features[name].numpy() for name in self._inputs})[0]
        output: Features = {**features, "token_embeddings": torch.from_numpy(hidden)}
        for module in self._rest:
            output = module(output)
        embedding: torch.Tensor = output["sentence_embedding"]
        return embedding


def compile_passes(model: SentenceTransformer, *, threads: int, bfloat16: Sequence[bool]) -> list[OpenVinoPass]:
    """Return passes of their own threads, one for each of `bfloat16`, that were found to agree with the model.

    Takes a second. What OpenVINO, the trace and the model raise is raised; NotConvertibleError is ours.

    Parameters:
        model: on the CPU.
        threads: CPU threads of each pass.
        bfloat16: whether a pass multiplies in bfloat16 or in float32, where the processor can.
    """
    transformer, *rest = model
    if not isinstance(transformer, Transformer) or transformer.module_output_name != "token_embeddings":
        raise NotConvertibleError("its first module is no transformer that gives a vector per word piece")
    openvino = _import_openvino()
    example = model.preprocess(["a few words", "word"])  # one is padded: a mask of ones might be left out of the trace
    with _without_warnings():
        converted = openvino.convert_model(
            _LastHiddenState(transformer.auto_model),
            example_input={name: example[name] for name in _INPUTS if name in example},
        )
    core = openvino.Core()
    passes = []
    for is_bfloat16 in bfloat16:
        # Not pinned: the processes of one machine would all be pinned to its first cores.
        options = {
            "INFERENCE_PRECISION_HINT": "bf16" if is_bfloat16 else "f32",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
        }
        passes.append(OpenVinoPass(core.compile_model(converted, "CPU", options), rest))
    for texts in _PROBES:
        features = model.preprocess(texts)
        with torch.inference_mode():
            expected = model(dict(features))["sentence_embedding"]
            for is_bfloat16, computed in zip(bfloat16, passes, strict=True):
                cosine = torch.nn.functional.cosine_similarity(computed(features), expected).min().item()
                if not cosine >= _LEAST_COSINE[is_bfloat16]:  # it may be no number
                    raise NotConvertibleError(f"its vectors have a cosine of {cosine:.5f} to torch's")
    return passes


class _LastHiddenState(torch.nn.Module):
    def __init__(self, transformer: torch.nn.Module) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
    ) -> torch.Tensor:
        features = {"input_ids": input_ids, "attention_mask": attention_mask}
        if token_type_ids is not None:
            features["token_type_ids"] = token_type_ids
        hidden: torch.Tensor = self.transformer(**features).last_hidden_state
        return hidden


def _import_openvino() -> Any:
    """OpenVINO without its telemetry, which tells Google Analytics of every import and every conversion."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: importing it fails
    import openvino

    return openvino


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Tracing warns of itself and of each shape that it takes for constant: what comes of it is checked."""
    logger = logging.getLogger("transformers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logger.setLevel(level)
