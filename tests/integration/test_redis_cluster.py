"""The system on a real Redis Cluster, and its clients while slots move and nodes that they were told of are gone."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis
from redis.crc import key_slot

from services.gateway import stop_requests
from services.gateway.settings import GatewaySettings
from services.gateway.stop_requests import RedisStopRequests
from services.ingest.settings import IngestSettings
from services.retrieval.settings import RetrievalSettings
from services.standalone_settings import StandaloneSettings
from shared.contracts.jobs import DocumentJob
from shared.embedding.dense import DenseEmbedder
from shared.errors import DependencyUnavailable
from shared.event_log.port import StreamId
from shared.queue.arq_queue import ArqJobQueue
from shared.queue.port import INGEST
from shared.redis_client import connect_redis, name_prefix
from shared.registry import redis_upkeep, redis_versions
from shared.registry.keys import RegistryKeys
from shared.registry.redis_registry import RedisDocumentRegistry
from shared.registry.redis_upkeep import RedisRegistryUpkeep
from tests.integration.conftest import publish_document, read_stream
from tests.loaded_system import run_loaded_replicas
from tests.patience import PATIENT_S
from tests.pdfs import make_pdf
from tests.redis_cluster import HOST, RedisCluster

PAGES = [
    "The heron drone\nThe heron is a survey drone for wetlands. It was released on 3 May 2024.",
    "Technical data\nMaximum wind speed 14 m/s\nFlight time 47 minutes\nList price 12,900 euro",
]
QUESTION = "What is the list price of the heron?"
RUN = StreamId("default", "run", "run_1")


@pytest.fixture
async def redis(redis_cluster: RedisCluster) -> AsyncIterator[Redis]:
    async with connect_redis(redis_cluster.url, timeout_s=PATIENT_S) as client:
        yield client


@pytest.fixture
async def replicas(
    redis_cluster: RedisCluster, tmp_path: Path, settings: GatewaySettings, embedder: DenseEmbedder
) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    """Two gateways of a whole system on a cluster."""
    url = redis_cluster.url
    system = StandaloneSettings(
        gateway=settings.model_copy(update={"redis_url": url}),
        retrieval=RetrievalSettings(redis_url=url, data_dir=tmp_path, reranker_model=""),
        ingest=IngestSettings(redis_url=url, data_dir=tmp_path),
    )
    async with run_loaded_replicas(system, embedder) as clients:
        yield clients


async def read_run(client: httpx.AsyncClient, run_id: str) -> str:
    """Read a run from its beginning; return its answer."""
    async with client.stream("GET", f"/runs/{run_id}/events") as response:
        assert response.status_code == 200, await response.aread()
        return "".join([event.data.get("token", "") async for event in read_stream(response)])


def find_slot(redis: Redis) -> int:
    return int(key_slot(name_prefix(redis).encode()))


async def move_to_next(cluster: RedisCluster, slot: int) -> None:
    """Move a slot with its keys to the next node."""
    nodes = cluster.nodes
    owner = nodes.index(cluster.find_owner(slot))
    await asyncio.to_thread(cluster.move, slot, nodes[(owner + 1) % len(nodes)])


async def test_a_document_is_asked_about_at_any_replica(
    replicas: tuple[httpx.AsyncClient, httpx.AsyncClient], redis_cluster: RedisCluster
) -> None:
    """From upload to answer, kept answer, follow-up, replacement and deletion: as on a single Redis."""
    first, second = replicas
    files = {"file": ("heron.pdf", make_pdf(PAGES))}
    document = (await first.post("/documents", params={"wait": 60}, files=files)).json()
    assert document["status"] == "ready", document
    async with asyncio.timeout(PATIENT_S):  # the job ends for arq, too
        while any(node.run("KEYS", "arq:*") for node in redis_cluster.nodes):
            await asyncio.sleep(0.05)

    answer = (await second.post("/query", json={"question": QUESTION, "conversation_id": "c"})).json()
    assert "12,900" in answer["answer"]
    assert {source["page"] for source in answer["sources"] if source["cited"]} == {2}
    assert (await first.get("/conversations/c")).json()["turns"][0]["question"] == QUESTION
    assert not answer["cached"]
    assert (await first.post("/query", json={"question": QUESTION})).json()["cached"]

    new = {"file": ("heron.pdf", make_pdf([*PAGES[:1], "Technical data\nList price 13,500 euro"]))}
    replaced = await second.put(f"/documents/{document['document_id']}", params={"wait": 60}, files=new)
    assert replaced.json()["status"] == "ready", replaced.text
    assert "13,500" in (await first.post("/query", json={"question": QUESTION})).json()["answer"]

    assert (await second.delete(f"/documents/{document['document_id']}")).status_code == 204
    assert (await first.post("/query", json={"question": QUESTION})).json()["error"]["code"] == "no_documents"


async def test_runs_are_spread_and_can_be_read_at_any_replica(
    replicas: tuple[httpx.AsyncClient, httpx.AsyncClient], redis_cluster: RedisCluster
) -> None:
    """Each run is on one node, and every node has some."""
    first, second = replicas
    await first.post("/documents", params={"wait": 60}, files={"file": ("heron.pdf", make_pdf(PAGES))})
    answers: dict[str, str] = {}
    for _ in range(30):
        body = {"question": QUESTION, "on_disconnect": "continue", "cache": False}
        async with first.stream("POST", "/query/stream", json=body) as response:
            text = "".join([event.data.get("token", "") async for event in read_stream(response)])
            answers[response.headers["X-Run-Id"]] = text

    for run_id, text in answers.items():
        assert "12,900" in text
        assert await read_run(second, run_id) == text

    streams = [
        {key.split(":")[3] for key in node.run("KEYS", "{pagewire-*}:default:run:*:events")}
        for node in redis_cluster.nodes
    ]
    assert all(streams)
    assert sum(map(len, streams)) == len(set().union(*streams)) == len(answers)


async def test_the_registry_is_found_again_when_its_slot_moves(redis: Redis, redis_cluster: RedisCluster) -> None:
    """Nothing is lost, and nobody is told to try again."""
    registry = RedisDocumentRegistry(redis, deadline_s=PATIENT_S)
    document_ids = [await publish_document(registry)]
    for _ in redis_cluster.nodes:
        await move_to_next(redis_cluster, find_slot(redis))
        document_ids.append(await publish_document(registry))

    page = await registry.list("default", 0, 10)

    assert page.total == len(document_ids)
    assert {record.document_id for record in page.records} == set(document_ids)
    assert set(await registry.get_active_versions("default", document_ids)) == set(document_ids)


async def test_a_list_of_all_documents_ends_when_their_slot_moves(
    redis: Redis, redis_cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Repair would take what was passed by for gone: nodes have keys in another order, each its own."""
    monkeypatch.setattr(redis_upkeep, "SCAN_KEYS", 1)
    registry = RedisDocumentRegistry(redis, deadline_s=PATIENT_S)
    upkeep = RedisRegistryUpkeep(redis, deadline_s=PATIENT_S)
    document_ids = {await publish_document(registry) for _ in range(20)}
    listing = upkeep.list_states()
    await anext(listing)

    await move_to_next(redis_cluster, find_slot(redis))

    with pytest.raises(DependencyUnavailable):
        async for _ in listing:
            pass
    assert {job.document_id async for found in upkeep.list_states() for job, _ in found} == document_ids


@pytest.mark.parametrize("what", ["versions", "strays"])
async def test_a_list_of_a_tenants_documents_ends_when_their_slot_moves(
    redis: Redis, redis_cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Else those that were passed by would not be made anew by a reindex, nor removed by a repair, and nobody knew."""
    monkeypatch.setattr(redis_upkeep, "SCAN_KEYS", 10)
    monkeypatch.setattr(redis_versions, "SCAN_DOCUMENTS", 10)
    keys, pipe = RegistryKeys(name_prefix(redis)), redis.pipeline()
    for number in range(1000):
        pipe.sadd(keys.ready("t"), f"doc_{number}")
        if what == "versions":
            pipe.hset(keys.document("t", f"doc_{number}"), "version", "v1")
    await pipe.execute()
    listing: AsyncGenerator[Sequence[object], None] = (
        RedisDocumentRegistry(redis, deadline_s=PATIENT_S).list_versions("t")
        if what == "versions"
        else RedisRegistryUpkeep(redis, deadline_s=PATIENT_S).list_strays()
    )
    while not await anext(listing):
        pass

    await move_to_next(redis_cluster, find_slot(redis))

    with pytest.raises(DependencyUnavailable):
        async for _ in listing:
            pass


async def test_the_queue_is_found_again_when_its_slot_moves(redis_cluster: RedisCluster) -> None:
    """It has the jobs that it had."""
    queue = ArqJobQueue(redis_cluster.url, timeout_s=PATIENT_S)
    job = DocumentJob(tenant="t", document_id="doc_1")
    assert await queue.enqueue(INGEST, job)
    await move_to_next(redis_cluster, find_slot(queue.arq))

    assert not await queue.enqueue(INGEST, job)
    assert await queue.find_unqueued(INGEST, [job], 1) == []
    await queue.close()


async def test_a_node_that_is_gone_is_passed_by(redis_cluster: RedisCluster, unused_tcp_port: int) -> None:
    """As long as one of those that were named is there."""
    node = redis_cluster.nodes[0]
    url = f"redis+cluster://{HOST}:{unused_tcp_port},{HOST}:{node.port}"
    async with connect_redis(url, timeout_s=PATIENT_S) as redis:
        await redis.set(f"{name_prefix(redis)}key", "value")
        assert await redis.get(f"{name_prefix(redis)}key") == "value"


async def ask_until_known(asking: RedisStopRequests) -> None:
    while True:
        with suppress(DependencyUnavailable):
            if await asking.ask(RUN):
                return
        await asyncio.sleep(0.01)


async def test_gateways_hear_of_each_other_when_the_slot_has_moved(
    redis_cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PUBLISH and SUBSCRIBE work at any node, but who asks counts those at its own."""
    monkeypatch.setattr(stop_requests, "LISTEN_S", 0.5)
    monkeypatch.setattr(stop_requests, "REPLY_S", 1)  # who leaves its place while it is asked does not answer
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(connect_redis(redis_cluster.url, timeout_s=PATIENT_S)) for _ in range(2)
        ]
        asking, answering = [RedisStopRequests(client) for client in clients]
        answering.on_request = lambda stream: stream == RUN
        for requests in (asking, answering):
            requests.start()
            stack.push_async_callback(requests.close)
        async with asyncio.timeout(PATIENT_S):
            await ask_until_known(asking)
            await move_to_next(redis_cluster, find_slot(clients[0]))
            await ask_until_known(asking)
