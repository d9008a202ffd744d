"""What Redis keys begin with: on a cluster all that a script touches has one slot; a single Redis keeps its names."""

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from redis.crc import key_slot

import shared
from services.gateway.stop_requests import name_channel
from shared.contracts.documents import DocumentStatus
from shared.contracts.jobs import DocumentJob
from shared.event_log.port import StreamId
from shared.event_log.spread_log import PARTS
from shared.event_log.stream_keys import make_stream_keys
from shared.queue.arq_queue import ArqJobQueue, LaneNames, make_job_id
from shared.queue.port import INGEST
from shared.redis_client import PREFIX, connect_redis, name_prefix
from shared.registry.keys import RegistryKeys
from shared.registry.revision import RevisionKeys

CLUSTER = "redis+cluster://user:p%40ss@one:7000,two:7001,[::1]:7002?socket_read_size=1000"
SLOTS = 16384
JOB = DocumentJob(tenant="t}", document_id="d{e}")
ARGUMENTS: dict[str, Any] = {
    "tenant": JOB.tenant,
    "document_id": JOB.document_id,
    "sha256": "aa",
    "status": DocumentStatus.READY,
    "job": JOB,
    "work": "reconcile",
}


def make_registry_keys(prefix: str) -> list[str]:
    """Return one of each kind."""
    keys = RegistryKeys(prefix)
    made = [key for name, key in vars(keys).items() if not name.startswith("_")]
    for name, method in inspect.getmembers(keys, inspect.ismethod):
        if not name.startswith(("_", "match", "parse")):
            key = method(**{argument: ARGUMENTS[argument] for argument in inspect.signature(method).parameters})
            made += key.as_list() if isinstance(key, RevisionKeys) else [key]
    return made


def test_all_keys_of_the_registry_and_the_queue_have_one_slot() -> None:
    """Whatever stands in the names of tenants and documents: arq's own keys, too."""
    queue = ArqJobQueue(CLUSTER, timeout_s=1)
    prefix = name_prefix(queue.arq)
    assert prefix == name_prefix(connect_redis(CLUSTER, timeout_s=1)) == "{pagewire}:"
    keys = [*make_registry_keys(prefix), *vars(LaneNames(prefix)).values()]
    keys += [f"arq:{kind}:{make_job_id(INGEST, JOB, prefix)}" for kind in ("job", "in-progress", "retry", "result")]

    assert len(keys) > 20
    assert {key_slot(key.encode()) for key in keys} == {key_slot(b"pagewire")}


def test_the_names_on_a_single_redis_stay() -> None:
    """Of what older releases have written nothing is lost."""
    assert name_prefix(connect_redis("redis://127.0.0.1:1/3", timeout_s=1)) == PREFIX == "pagewire:"
    keys, job = RegistryKeys(), DocumentJob(tenant="t", document_id="d")
    assert keys.document("t", "d") == "pagewire:t:document:d"
    assert keys.events("t", "d") == "pagewire:t:document:d:events"
    assert keys.parse_document(keys.document("t", "d")) == job
    assert (keys.pending, keys.purging) == ("pagewire:pending", "pagewire:purging")
    assert LaneNames().large == "pagewire:arq:queue"
    assert make_job_id(INGEST, job) == f"{INGEST}:t:d"
    assert name_channel(connect_redis("redis://127.0.0.1:1/3", timeout_s=1)) == "pagewire:stop-requests:3"


def test_the_streams_of_runs_are_spread_evenly() -> None:
    """All keys of one have one slot; of up to as many nodes as there are parts each has some."""
    slots = []
    for part in PARTS:
        prefix = name_prefix(connect_redis(CLUSTER, timeout_s=1, part=part))
        keys = make_stream_keys(prefix, StreamId("t}", "run", "{x}")).as_list()
        (slot,) = {key_slot(key.encode()) for key in keys}
        slots.append(slot)

    for nodes in range(1, len(PARTS) + 1):
        assert {slot * nodes // SLOTS for slot in slots} == set(range(nodes))


@pytest.mark.parametrize(
    ("url", "login", "nodes"),
    [
        (CLUSTER, ("user", "p@ss"), [("one", 7000), ("two", 7001), ("::1", 7002)]),
        ("redis+cluster://one", (None, None), [("one", 6379)]),
        ("redis+cluster://one:7000, two:7001,", (None, None), [("one", 7000), ("two", 7001)]),
        ("rediss+cluster://:secret@one,two:1?ssl_cert_reqs=none", (None, "secret"), [("one", 6379), ("two", 1)]),
    ],
)
def test_the_url_names_nodes(url: str, login: tuple[str, str], nodes: list[tuple[str, int]]) -> None:
    """With the login and the options of any URL of Redis."""
    pool = connect_redis(url, timeout_s=1).connection_pool
    options = pool.connection_kwargs
    slot = options["slot"]
    found = []
    for _ in nodes:
        slot.leave(slot.address)
        found.append(slot.address)
    assert found == nodes
    assert (options.get("username"), options.get("password")) == login
    assert pool.connection_class.__name__ == ("SlotTlsConnection" if url.startswith("rediss") else "SlotConnection")


def test_no_key_is_named_past_the_prefix() -> None:
    """A name that is written out anywhere else would have a slot of its own."""
    root = Path(shared.__file__).parents[1]
    named = {
        f"{path.relative_to(root)}: {node.value!s}"
        for folder in ("services", "shared")
        for path in (root / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and re.match(r"pagewire:(?![ /])\S*$", str(node.value))
    }
    assert named == {"shared/redis_client.py: pagewire:"}
