"""A cluster of three Qdrant nodes with two copies of each shard, of which one is killed: a part of the long form.

Searches go on, and each finds what it must; what is uploaded meanwhile may wait until the node is back, and is ready
then, with each of its points once. The cluster is that of deploy/qdrant-cluster.yml.
"""

import asyncio
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.retrieval.adapters.cross_encoder import NoReranker
from services.retrieval.domain.fusion import FusionWeights
from services.retrieval.use_cases.search_passages import SearchDependencies, SearchOptions, search_passages
from shared.contracts.documents import DocumentStatus
from shared.contracts.search import SearchRequest
from shared.embedding.dense import DenseEmbedder
from shared.embedding.sparse import Bm25Encoder
from shared.vector_index.server import ServerIndex
from tests.pdfs import make_long_pdf, make_pdf
from tests.qdrant_cluster import NODES, QdrantCluster, run_qdrant_cluster
from tests.worker_fleet import TENANT, Fleet, RedisProcess, run_fleet, wait_until

SEED = 8
DOCUMENTS_A_KILL = 4
SEARCHES_A_KILL = 150
"""That have to be answered between a node's death and its return."""
SEARCHERS = 4
DEADLINE_S = 10
"""PAGEWIRE_QDRANT_TIMEOUT_S as it is by default: nginx must have found another node by then."""
QUESTION = "How many tonnes does the yellow crane lift?"

pytestmark = [
    pytest.mark.docker,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(os.environ.get("PAGEWIRE_CHAOS") != "1", reason="a part of the long form: make chaos"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[QdrantCluster]:
    """Three nodes."""
    with run_qdrant_cluster() as running:
        yield running


class Searchers:
    """Ask the same question again and again, some at once, through the code of the retrieval service."""

    def __init__(self, deps: SearchDependencies, document_id: str) -> None:
        self._deps = deps
        self._document_id = document_id
        self.answered = 0
        self.failures: list[str] = []

    async def search_on(self) -> None:
        """Until cancelled."""
        while True:
            try:
                found = await search_passages(SearchRequest(tenant=TENANT, query=QUESTION), self._deps)
                if self._document_id not in {passage.document_id for passage in found.passages}:
                    self.failures.append("the document was not found")
            except Exception as error:  # noqa: BLE001 - any is one too many, and the others go on
                self.failures.append(repr(error))
            self.answered += 1


async def test_a_node_that_is_killed_takes_no_search_and_no_document(
    tmp_path: Path, redis: RedisProcess, cluster: QdrantCluster, embedder: DenseEmbedder
) -> None:
    """SIGKILL of one node after the other, each under searches and uploads, and back before the next."""
    chance = random.Random(SEED)
    settings = {"qdrant_shards": 6, "qdrant_replicas": 2, "qdrant_timeout_s": DEADLINE_S, "max_attempts": 100}
    async with run_fleet(tmp_path, redis.url, cluster.url, workers=2, **settings) as fleet:
        wanted = await fleet.upload("crane.pdf", make_pdf(["The yellow crane lifts forty tonnes."]))
        await fleet.wait_until_final([wanted])
        index = await asyncio.to_thread(
            ServerIndex, cluster.url, fleet.collection, embedder.dimension, api_key=None, timeout_s=DEADLINE_S
        )
        options = SearchOptions(candidates=50, rerank_count=20, fusion=FusionWeights())
        deps = SearchDependencies(embedder, Bm25Encoder(), index, fleet.registry, NoReranker(), options)
        searchers = Searchers(deps, wanted)
        async with asyncio.TaskGroup() as group:
            searching = [group.create_task(searchers.search_on()) for _ in range(SEARCHERS)]
            for node in chance.sample(NODES, len(NODES)):
                await kill_and_bring_back(cluster, node, fleet, searchers)
            for task in searching:
                task.cancel()
        await index.close()
        records = await fleet.wait_until_final(list(fleet.accepted))

        assert searchers.failures == []
        assert searchers.answered >= len(NODES) * SEARCHES_A_KILL
        assert {record.status for record in records} == {DocumentStatus.READY}
        assert len(records) == 1 + len(NODES) * DOCUMENTS_A_KILL
        await fleet.check()
        # A node that comes back lacks what was written to the other copy alone, which was not acknowledged.
        await wait_until(lambda: cluster.has_equal_copies(fleet.collection))


async def kill_and_bring_back(cluster: QdrantCluster, node: str, fleet: Fleet, searchers: Searchers) -> None:
    """Kill a node while documents are written, and start it when enough searches were answered without it."""
    names = [f"manual-{node}-{place}" for place in range(DOCUMENTS_A_KILL)]
    for name in names[:2]:
        await fleet.upload(f"{name}.pdf", make_long_pdf(name, 3))
    await asyncio.to_thread(cluster.kill, node)
    for name in names[2:]:
        await fleet.upload(f"{name}.pdf", make_long_pdf(name, 3))
    enough = searchers.answered + SEARCHES_A_KILL

    async def answered_enough() -> bool:
        return searchers.answered >= enough

    await wait_until(answered_enough)
    await asyncio.to_thread(cluster.start, node)
    # Two copies outlive one loss at a time: the next one has to wait until this node has caught up.
    await wait_until(lambda: cluster.is_whole(fleet.collection))
