"""The settings of a Qdrant collection: a real server has what they say, and finds the same with small vectors."""

import asyncio
import json
import random
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sequence
from typing import Any

import pytest
import structlog
from qdrant_client import models

from shared.embedding.sparse import Bm25Encoder
from shared.identifiers import make_point_id
from shared.settings import IndexSettings
from shared.vector_index.port import DENSE, ChunkPayload, IndexPoint, IndexQuery
from shared.vector_index.server import ServerIndex, connect_server_index
from tests.patience import PATIENT_S
from tests.standalone_process import ROOT

pytestmark = pytest.mark.docker

DIMENSION = 32
POINTS = 600
SPARSE = Bm25Encoder().encode_passages(["amber"])[0]
VARIABLES = ("ON_DISK_PAYLOAD", "QUANTIZATION", "SHARDS", "REPLICAS")

Connect = Callable[..., Awaitable[ServerIndex]]


def list_warnings(logs: Sequence[MutableMapping[str, Any]]) -> list[MutableMapping[str, Any]]:
    """What is said of the collection; of the server its version is, too."""
    return [line for line in logs if line["log_level"] == "warning"]


@pytest.fixture
async def connect(qdrant_url: str) -> AsyncIterator[Connect]:
    """Connects to a collection of this test with given settings; what was made is removed at the end."""
    connected: list[ServerIndex] = []
    names = f"test-{uuid.uuid4().hex}"

    async def connect_with(name: str = "collection", **settings: Any) -> ServerIndex:
        chosen = IndexSettings(qdrant_url=qdrant_url, collection=f"{names}-{name}", qdrant_timeout_s=30, **settings)
        connected.append(await connect_server_index(chosen, DIMENSION))
        return connected[-1]

    yield connect_with
    for index in connected:
        await index._client.delete_collection(index._collection)
        await index.close()


async def read_config(index: ServerIndex) -> models.CollectionConfig:
    return (await index._client.get_collection(index._collection)).config


def get_dense(config: models.CollectionConfig) -> models.VectorParams:
    assert isinstance(config.params.vectors, dict)
    return config.params.vectors[DENSE]


def read_documented_change() -> dict[str, Any]:
    """What docs/operations.md has Qdrant told to change a collection that exists."""
    text = (ROOT / "docs" / "operations.md").read_text()
    call = re.search(r"curl -X PATCH \S+/collections/pagewire .*?-d '(.*?)'", text, re.DOTALL)
    assert call is not None
    change: dict[str, Any] = json.loads(call[1])
    return change


def make_vector(seed: int) -> list[float]:
    """A vector that depends only on the seed."""
    chooser = random.Random(seed)
    return [chooser.gauss(0, 1) for _ in range(DIMENSION)]


async def fill(index: ServerIndex) -> None:
    """Write points, and wait until the server has built the index in which small vectors are."""
    optimizers = models.OptimizersConfigDiff(indexing_threshold=1)  # kilobytes: by itself it begins at 20,000
    await index._client.update_collection(index._collection, optimizers_config=optimizers)
    points = [
        IndexPoint(
            make_point_id("t", "doc", "v", number),
            ChunkPayload("doc", "v", number, "T", 1, 0, 5, "amber"),
            make_vector(number),
            SPARSE,
        )
        for number in range(POINTS)
    ]
    await index.upsert("t", points)
    async with asyncio.timeout(PATIENT_S):
        while True:
            info = await index._client.get_collection(index._collection)
            # Each point has two vectors, and the sparse ones are indexed from the start.
            if info.status == models.CollectionStatus.GREEN and info.indexed_vectors_count == 2 * POINTS:
                return
            await asyncio.sleep(0.05)


async def test_without_settings_the_server_decides(connect: Connect) -> None:
    """A collection is what it was before there were settings, and nothing is warned of."""
    with structlog.testing.capture_logs() as logs:
        config = await read_config(await connect())

    assert config.params.on_disk_payload is True  # as docs/configuration.md says of this version
    assert (config.params.shard_number, config.params.replication_factor) == (1, 1)
    assert config.params.write_consistency_factor == 1
    assert config.quantization_config is None
    assert get_dense(config).on_disk is None
    assert not list_warnings(logs)


async def test_a_new_collection_has_what_the_settings_say(connect: Connect) -> None:
    """Payload, shards, copies, and writes that wait for most of the copies."""
    with structlog.testing.capture_logs() as logs:
        config = await read_config(await connect(qdrant_on_disk_payload=False, qdrant_shards=3, qdrant_replicas=3))

    assert config.params.on_disk_payload is False
    assert (config.params.shard_number, config.params.replication_factor) == (3, 3)
    assert config.params.write_consistency_factor == 2
    assert not list_warnings(logs)


async def test_small_vectors_are_in_memory_and_full_ones_on_the_disk(connect: Connect) -> None:
    """Of int8 and of binary ones: else both would be in memory, and none of it saved."""
    with structlog.testing.capture_logs() as logs:
        int8 = await read_config(await connect("int8", qdrant_quantization="int8"))
        binary = await read_config(await connect("binary", qdrant_quantization="binary"))

    assert isinstance(int8.quantization_config, models.ScalarQuantization)
    assert int8.quantization_config.scalar.type == models.ScalarType.INT8
    assert int8.quantization_config.scalar.always_ram
    assert isinstance(binary.quantization_config, models.BinaryQuantization)
    assert binary.quantization_config.binary.always_ram
    assert get_dense(int8).on_disk
    assert get_dense(binary).on_disk
    assert not list_warnings(logs)


async def test_int8_finds_the_same_nearest_with_the_same_scores(connect: Connect) -> None:
    """The small vectors choose candidates, and the full ones rank them; by the small ones alone scores are others."""
    full = await connect("full")
    small = await connect("small", qdrant_quantization="int8")
    for index in (full, small):
        await fill(index)

    for seed in range(10):
        query = IndexQuery(make_vector(9000 + seed), SPARSE, 10)
        expected = (await full.search("t", query)).dense
        found = (await small.search("t", query)).dense
        assert [hit.point_id for hit in found] == [hit.point_id for hit in expected]
        assert [hit.score for hit in found] == pytest.approx([hit.score for hit in expected], abs=1e-6)

    by_small_alone = models.SearchParams(quantization=models.QuantizationSearchParams(rescore=False))
    raw = await small._client.query_points(
        small._collection, query.dense, using=DENSE, limit=10, search_params=by_small_alone
    )
    assert [point.score for point in raw.points] != pytest.approx([hit.score for hit in expected], abs=1e-6)


async def test_a_collection_that_differs_is_warned_of_and_left_as_it_is(connect: Connect) -> None:
    """By the names of the variables, with what it has; a start changes nothing."""
    before = await read_config(await connect())

    with structlog.testing.capture_logs() as logs:
        index = await connect(
            qdrant_on_disk_payload=False, qdrant_quantization="int8", qdrant_shards=2, qdrant_replicas=2
        )

    found = dict(zip((f"PAGEWIRE_QDRANT_{name}" for name in VARIABLES), ("True", "none", "1", "1"), strict=True))
    assert [(line["event"], line["log_level"], line["found"]) for line in list_warnings(logs)] == [
        ("collection_differs", "warning", found)
    ]
    assert await read_config(index) == before


async def test_what_operations_says_changes_a_collection_does(connect: Connect) -> None:
    """After the calls of docs/operations.md nothing is warned of any more but the shards, which stay."""
    index = await connect(qdrant_shards=2)
    await index._client.http.collections_api.update_collection(
        collection_name=index._collection,
        update_collection=models.UpdateCollection.model_validate(read_documented_change()),
    )

    with structlog.testing.capture_logs() as logs:
        await connect(qdrant_on_disk_payload=True, qdrant_quantization="int8", qdrant_shards=1)

    assert [line["found"] for line in list_warnings(logs)] == [{"PAGEWIRE_QDRANT_SHARDS": "2"}]
    assert get_dense(await read_config(index)).on_disk
