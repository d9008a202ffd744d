"""Numbers for Prometheus: a registry for each process, made by its composition root, and its text."""

import asyncio
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

METRICS_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
"""Content type of what `render_metrics` returns."""


def make_registry() -> CollectorRegistry:
    """Return a registry that knows what this process takes: CPU seconds, memory, open files."""
    # They are a second series for each, which nobody asks for; the library has no smaller switch.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


async def render_metrics(registry: CollectorRegistry) -> bytes:
    """Return all that a registry knows in Prometheus' text format."""
    return await asyncio.to_thread(generate_latest, registry)
