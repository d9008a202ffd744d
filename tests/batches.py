"""Reads what comes in batches."""

from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

T = TypeVar("T")


async def collect(batches: AsyncIterator[Sequence[T]]) -> list[T]:
    """All items of all batches."""
    return [item async for batch in batches for item in batch]
