"""Reads what a server tells Prometheus, with Prometheus' own parser."""

import asyncio
from collections.abc import Callable

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.patience import PATIENT_S

Samples = dict[str, float]
"""Values by name and labels: `pagewire_runs_total finished stop`, labels in the order of their names."""


async def scrape(client: httpx.AsyncClient) -> Samples:
    """What `/metrics` tells now."""
    response = await client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = text_string_to_metric_families(response.text)
    samples = [sample for family in families for sample in family.samples]
    told = {
        " ".join([sample.name, *(sample.labels[name] for name in sorted(sample.labels))]): sample for sample in samples
    }
    assert len(told) == len(samples)
    return {name: sample.value for name, sample in told.items()}


async def scrape_until(client: httpx.AsyncClient, holds: Callable[[Samples], bool]) -> Samples:
    """What it tells as soon as this holds: a departure is noticed when it is."""
    async with asyncio.timeout(PATIENT_S):
        while not holds(samples := await scrape(client)):
            await asyncio.sleep(0.01)
    return samples


def pick(samples: Samples, name: str) -> Samples:
    """The samples of a name that are not 0, by their labels."""
    return {key.removeprefix(name).strip(): value for key, value in samples.items() if key.split()[0] == name and value}
