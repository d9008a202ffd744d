"""The three Qdrant nodes of deploy/qdrant-cluster.yml in containers, to have one of them killed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.compose_stack import require_docker, run
from tests.patience import PATIENT_S

_FILE = "deploy/qdrant-cluster.yml"
NODES = ("qdrant-1", "qdrant-2", "qdrant-3")


@dataclass(frozen=True)
class QdrantCluster:
    """A cluster that answers, behind nginx. Names of nodes are those of the services."""

    project: str

    @property
    def url(self) -> str:
        """Where nginx is published."""
        return f"http://{self.compose('port', 'nginx', '6333').strip()}"

    def compose(self, *arguments: str) -> str:
        """Run `docker compose`."""
        command = ("docker", "compose", "--env-file", os.devnull, "--project-name", self.project, "--file", _FILE)
        return run(*command, *arguments, environment=os.environ | {"QDRANT_PORT": "0"})

    def kill(self, node: str) -> None:
        """SIGKILL; it stays away until it is started."""
        self.compose("kill", "--signal", "KILL", node)

    def start(self, node: str) -> None:
        """Start a node that was killed."""
        self.compose("start", node)

    async def is_whole(self, collection: str) -> bool:
        """Return whether each shard has all its copies, and all of them are up to date, as every node sees it."""
        views = await self._look_at_shards(collection)
        shards = [shard for view in views for shard in (*view["local_shards"], *view["remote_shards"])]
        moving = any(view["shard_transfers"] for view in views)
        return len(views) == len(NODES) and not moving and all(shard["state"] == "Active" for shard in shards)

    async def has_equal_copies(self, collection: str) -> bool:
        """Return whether all copies of each shard have as many points."""
        views = await self._look_at_shards(collection)
        counts: dict[int, set[int]] = {}
        for shard in (shard for view in views for shard in view["local_shards"]):
            counts.setdefault(shard["shard_id"], set()).add(shard["points_count"])
        return len(views) == len(NODES) and all(len(different) == 1 for different in counts.values())

    async def _look_at_shards(self, collection: str) -> list[dict[str, Any]]:
        """Return what each node says that answers."""
        views: dict[int, dict[str, Any]] = {}
        async with httpx.AsyncClient(base_url=self.url, timeout=PATIENT_S, trust_env=False) as client:
            for _ in range(2 * len(NODES)):  # nginx asks them in turn
                answer = await client.get(f"/collections/{collection}/cluster")
                if answer.is_success:
                    result = answer.json()["result"]
                    views[result["peer_id"]] = result
        return list(views.values())


@contextmanager
def run_qdrant_cluster() -> Iterator[QdrantCluster]:
    """Start the cluster on a free port; gone afterwards. Skips where there is no Docker, and fails so in CI."""
    require_docker()
    cluster = QdrantCluster(f"pagewire-qdrant-{os.getpid()}")
    try:
        cluster.compose("up", "--wait", "--wait-timeout", "300")
        yield cluster
    finally:
        cluster.compose("down", "--volumes", "--timeout", "5")
