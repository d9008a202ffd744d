"""A real Redis Cluster of three nodes on this machine, and what operators do with one."""

import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from shared.private_redis import find_redis_server
from tests.patience import PATIENT_S

SLOTS = 16384
HOST = "127.0.0.1"


@dataclass(frozen=True)
class ClusterNode:
    """A server of the cluster."""

    port: int
    bus_port: int
    process: "subprocess.Popen[bytes]"

    def run(self, *command: Any) -> Any:
        """Return the node's reply, decoded."""
        with Redis(HOST, self.port, decode_responses=True, socket_timeout=PATIENT_S) as client:
            return client.execute_command(*command)

    def find_id(self) -> str:
        """Return what the others call it."""
        return str(self.run("CLUSTER MYID"))

    def is_well(self, nodes: int) -> bool:
        """Return whether it knows so many nodes, and all slots have one."""
        try:
            state: dict[str, str] = self.run("CLUSTER INFO")
        except RedisError:
            return False
        return state["cluster_state"] == "ok" and int(state["cluster_known_nodes"]) == nodes


@dataclass(frozen=True)
class RedisCluster:
    """Servers that share the slots."""

    nodes: Sequence[ClusterNode]

    @property
    def url(self) -> str:
        """Return where its clients begin."""
        return "redis+cluster://" + ",".join(f"{HOST}:{node.port}" for node in self.nodes)

    def flush(self) -> None:
        """Forget all data."""
        for node in self.nodes:
            node.run("FLUSHALL")

    def find_owner(self, slot: int) -> ClusterNode:
        """Return the node that has a slot."""
        for first, last, (_, port, *_), *_ in self.nodes[0].run("CLUSTER SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == port)
        raise AssertionError(slot)

    def count_keys(self) -> list[int]:
        """Return how many keys each node has."""
        return [int(node.run("DBSIZE")) for node in self.nodes]

    def move(self, slot: int, target: ClusterNode) -> None:
        """Move a slot with its keys, as `redis-cli --cluster reshard` does."""
        source = self.find_owner(slot)
        target.run("CLUSTER SETSLOT", slot, "IMPORTING", source.find_id())
        source.run("CLUSTER SETSLOT", slot, "MIGRATING", target.find_id())
        if keys := source.run("CLUSTER GETKEYSINSLOT", slot, 10_000):
            source.run("MIGRATE", HOST, target.port, "", 0, 60_000, "KEYS", *keys)
        for node in (target, source, *self.nodes):
            node.run("CLUSTER SETSLOT", slot, "NODE", target.find_id())


@contextmanager
def run_redis_cluster(folder: Path) -> Iterator[RedisCluster]:
    """Run three nodes with a third of the slots each, in memory."""
    with ExitStack() as stack:
        nodes = [stack.enter_context(_run_node(folder / str(number))) for number in range(3)]
        for number, node in enumerate(nodes):
            first, last = number * SLOTS // len(nodes), (number + 1) * SLOTS // len(nodes) - 1
            node.run("CLUSTER ADDSLOTSRANGE", first, last)
            node.run("CLUSTER SET-CONFIG-EPOCH", number + 1)
        for node in nodes[1:]:
            node.run("CLUSTER MEET", HOST, nodes[0].port, nodes[0].bus_port)
        deadline = time.monotonic() + PATIENT_S
        while not all(node.is_well(len(nodes)) for node in nodes):
            assert time.monotonic() < deadline, "the cluster does not come together"
            time.sleep(0.05)
        yield RedisCluster(nodes)


@contextmanager
def _run_node(folder: Path) -> Iterator[ClusterNode]:
    folder.mkdir()
    port, bus_port = _find_port(), _find_port()
    options = {
        "bind": HOST,
        "port": port,
        "cluster-port": bus_port,
        "cluster-enabled": "yes",
        "cluster-node-timeout": 1000 * PATIENT_S,  # a machine that is busy is no reason to take a node for dead
        "dir": folder,
        "save": "",
        "appendonly": "no",
        "logfile": folder / "redis.log",
    }
    command = [find_redis_server(), *(str(part) for name, value in options.items() for part in (f"--{name}", value))]
    process = subprocess.Popen(command)
    try:
        node = ClusterNode(port, bus_port, process)
        deadline = time.monotonic() + PATIENT_S
        while not _answers(node):
            assert process.poll() is None, (folder / "redis.log").read_text()
            assert time.monotonic() < deadline, "a node does not answer"
            time.sleep(0.02)
        yield node
    finally:
        process.kill()
        process.wait()


def _answers(node: ClusterNode) -> bool:
    try:
        node.run("PING")
    except RedisError:
        return False
    return True


def _find_port() -> int:
    with socket.socket() as free:
        free.bind((HOST, 0))
        return int(free.getsockname()[1])
