"""The embedding model with a memory on disk: a text that was embedded once is not embedded again, in any run."""

import asyncio
import hashlib
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from shared.embedding.dense import DenseEmbedder, Vectors

_TABLE = "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID"
_BATCH = 256
"""Texts that are embedded before they are kept: what is interrupted goes on from there."""


class KeptVectors:
    """An Embedder and QueryEmbedder, the same as the one it is given. A key is the model, the kind and the text."""

    def __init__(self, embedder: DenseEmbedder, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._embedder = embedder
        self._database = sqlite3.connect(path, timeout=60, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute(_TABLE)
        self._writing = threading.Lock()  # a question and what a glossary says for it are embedded at the same time
        self.max_tokens = embedder.max_tokens
        self.dimension = embedder.dimension
        self.model_id = embedder.model_id
        self.computed = 0

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Word pieces of each text."""
        return self._embedder.count_tokens(texts)

    async def embed_passages(self, texts: Sequence[str]) -> Vectors:
        """Return a float32 array of shape (number of texts, dimension)."""
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        missing = []
        for index, kept in enumerate(await asyncio.to_thread(self._read, "document", texts)):
            if kept is None:
                missing.append(index)
            else:
                vectors[index] = kept
        for first in range(0, len(missing), _BATCH):
            batch = missing[first : first + _BATCH]
            picked = [texts[index] for index in batch]
            vectors[batch] = await self._embedder.embed_passages(picked)
            await asyncio.to_thread(self._keep, "document", picked, vectors[batch])
        return vectors

    async def embed_query(self, text: str) -> Vectors:
        """Return a float32 array of shape (dimension,)."""
        (kept,) = await asyncio.to_thread(self._read, "query", [text])
        if kept is None:
            kept = await self._embedder.embed_query(text)
            await asyncio.to_thread(self._keep, "query", [text], kept[np.newaxis])
        return kept

    def close(self) -> None:
        """Close the database, but not the model."""
        self._database.close()

    def _make_key(self, kind: str, text: str) -> bytes:
        return hashlib.sha256(f"{self._embedder.model_name}\n{kind}\n{text}".encode()).digest()

    def _read(self, kind: str, texts: Sequence[str]) -> list[Vectors | None]:
        find = "SELECT vector FROM vectors WHERE key = ?"
        rows = [self._database.execute(find, (self._make_key(kind, text),)).fetchone() for text in texts]
        return [None if row is None else np.frombuffer(row[0], dtype=np.float32) for row in rows]

    def _keep(self, kind: str, texts: Sequence[str], vectors: Vectors) -> None:
        rows = [(self._make_key(kind, text), vector.tobytes()) for text, vector in zip(texts, vectors, strict=True)]
        with self._writing, self._database:
            self._database.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)
        self.computed += len(rows)
