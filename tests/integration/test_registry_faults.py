"""The registry's scripts on a real Redis while calls are delayed, doubled and lost: what the records say stays true."""

import json
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise
from typing import Any, TypeVar, cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from shared.contracts.documents import DocumentFailure, DocumentStatus
from shared.contracts.jobs import DocumentJob
from shared.errors import Conflict, DependencyUnavailable, NotFound
from shared.identifiers import make_document_id
from shared.registry import scripts, version_scripts
from shared.registry.keys import RegistryKeys
from shared.registry.port import Content, Lease, LeaseLostError, NewDocument, Progress
from shared.registry.redis_registry import RedisDocumentRegistry

KEYS = RegistryKeys()

T = TypeVar("T")

LEASE_MS = 3_600_000
"""No lease runs out by itself: the machine says when."""
COUNTS = ("pages_total", "pages_done", "chunks_total", "chunks_done")
UNFINISHED = ("queued", "parsing", "embedding")
ANEW = (version_scripts.REPLACE, version_scripts.REINDEX, version_scripts.REBUILD)


class Fate(Enum):
    """What becomes of a call on its way to Redis and of the answer on its way back."""

    ARRIVES = "arrives"
    TWICE = "arrives twice"
    ECHO = "arrives, and once more later"
    LATE = "arrives later; the caller is told that Redis is away"
    LOST = "never arrives"
    ANSWER_LOST = "arrives; the caller is told that Redis is away"


@dataclass(frozen=True)
class Call:
    """A script on its way."""

    script: str
    keys: Sequence[str]
    arguments: Sequence[Any]


@dataclass
class State:
    """All that Redis holds."""

    records: dict[str, dict[str, str]] = field(default_factory=dict)
    events: dict[str, list[tuple[int, str, dict[str, Any]]]] = field(default_factory=dict)
    sets: dict[str, set[str]] = field(default_factory=dict)
    identities: dict[str, str] = field(default_factory=dict)


class FaultyRegistry(RedisDocumentRegistry):
    """The real registry, whose calls meet the fate that is set. It does not wait: no event loop is needed, or used."""

    def __init__(self, redis: Redis) -> None:
        super().__init__(AsyncRedis())  # never connected: see `_run`
        self._connection = redis
        self.fate = Fate.ARRIVES
        self.late: list[Call] = []
        self.known: set[str] = set()
        self.state = self.look()

    async def _run(self, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        call = Call(script, keys, arguments)
        if self.fate in (Fate.LATE, Fate.ECHO):
            self.late.append(call)
        if self.fate in (Fate.LATE, Fate.LOST):
            raise DependencyUnavailable("away")
        reply = self.deliver(call)
        if self.fate is Fate.TWICE:
            before = self.state
            again = self.deliver(call)
            assert flatten(again) == flatten(reply) or script == scripts.RELEASE  # whose reply nobody reads
            assert self.state == before
        if self.fate is Fate.ANSWER_LOST:
            raise DependencyUnavailable("away")
        return reply

    async def _read_edition(self, document: str) -> str:
        edition = self._connection.hget(document, "edition")
        return str(edition or 1)

    def deliver(self, call: Call) -> Any:
        """Runs a script and checks what it changed."""
        before = self.state
        reply = self._connection.eval(call.script, len(call.keys), *call.keys, *call.arguments)
        self.state = self.look()
        check_invariants(self.state)
        check_change(before, self.state, call)
        return reply

    def look(self) -> State:
        """All that is in Redis, read at once."""
        ids = sorted(self.known)
        with self._connection.pipeline(transaction=False) as pipe:
            for document_id in ids:
                pipe.hgetall(f"pagewire:t:document:{document_id}")
                pipe.xrange(KEYS.events("t", document_id))
            pipe.hgetall("pagewire:t:identities")
            pipe.smembers(KEYS.pending)
            pipe.smembers(KEYS.purging)
            pipe.smembers("pagewire:t:ready")
            pipe.zrange("pagewire:t:documents", 0, -1)
            *rows, identities, pending, purging, ready, listed = pipe.execute()
        state = State(identities=identities)
        state.sets = {
            "pending": {member.removeprefix("t/") for member in pending},
            "purging": {member.removeprefix("t/") for member in purging},
            "ready": set(ready),
            "listed": set(listed),
        }
        for document_id, record, entries in zip(ids, rows[::2], rows[1::2], strict=True):
            if record:
                state.records[document_id] = record
            if entries:
                state.events[document_id] = [parse_entry(*entry) for entry in entries]
        return state


def flatten(reply: Any) -> str:
    """A reply's values, numbers and their digits alike, as the client takes them."""
    return "\n".join(map(flatten, reply)) if isinstance(reply, list) else str(reply)


def parse_entry(entry_id: str, fields: dict[str, str]) -> tuple[int, str, dict[str, Any]]:
    [[number, name, data]] = json.loads(fields["events"])
    assert entry_id == f"{number}-0"
    assert ("end" in fields) == (name != "progress")
    return number, name, data


def check_invariants(state: State) -> None:
    """What holds at every moment, whatever has arrived."""
    statuses = {document_id: record["status"] for document_id, record in state.records.items()}
    live = {document_id for document_id, status in statuses.items() if status != "deleted"}
    assert state.sets["ready"] == {i for i in live if is_searched(state.records[i])}
    assert state.sets["pending"] == {i for i in live if statuses[i] in UNFINISHED}
    assert state.sets["listed"] == live
    # The record of a forgotten document says only that it is deleted.
    assert state.sets["purging"] == {i for i in statuses if statuses[i] == "deleted" and "sha256" in state.records[i]}
    # One upload, one document.
    assert state.identities.keys() == {state.records[i]["identity"] for i in live}
    assert all(i in live and state.records[i]["identity"] == identity for identity, i in state.identities.items())
    for document_id, record in state.records.items():
        assert (record["status"] == "ready") <= bool(record.get("version"))
        assert bool(record.get("live")) <= (
            bool(record.get("version")) and record["status"] in (*UNFINISHED, "deleted")
        )
        assert int(record.get("attempts", 0)) >= 0
        check_events(record, state.events.get(document_id, []))


def check_events(record: dict[str, str], events: Sequence[tuple[int, str, dict[str, Any]]]) -> None:
    """The stream's events follow each other, only rise, end once, and end where the record is."""
    if "sha256" not in record:  # forgotten; its events say for a while how it ended
        assert [name for _, name, _ in events[-1:]] in ([], ["ready"], ["failed"])
        return
    numbers = [number for number, _, _ in events]
    assert numbers == list(range(numbers[0], int(record["event_number"]) + 1))
    assert events[0][2]["status"] == "queued"
    for (_, name, earlier), (_, _, later) in pairwise(events):
        assert name == "progress"
        if later["status"] == "queued" and not any(later[count] for count in COUNTS):
            continue  # other bytes took the place of those that were being worked on
        order = [*UNFINISHED, "ready", "failed"]
        assert order.index(earlier["status"]) <= order.index(later["status"])
        assert all(earlier[count] <= later[count] for count in COUNTS)
        assert earlier != later
    _, name, data = events[-1]
    if record["status"] == "ready" and record.get("replacement"):
        left = json.loads(record["replacement"])
        assert name == "failed"
        assert all(data[count] == int(left.get(count, 0)) for count in COUNTS)
        return
    assert all(data[count] == int(record.get(count, 0)) for count in COUNTS)
    if record["status"] == "deleted":
        assert name in ("ready", "failed")
    else:
        assert data["status"] == record["status"]
        assert name == (record["status"] if record["status"] in ("ready", "failed") else "progress")


def check_change(before: State, after: State, call: Call) -> None:
    """What one script may change: a stale write nothing, a final status only a requeue and a deletion."""
    document_id = call.keys[1 if call.script == scripts.RELEASE else 0].removeprefix("pagewire:t:document:")
    for other in before.records.keys() - {document_id}:
        assert after.records.get(other) == before.records[other]
    old, new = before.records.get(document_id, {}), after.records.get(document_id, {})
    if call.script in (scripts.UPDATE, scripts.FINISH) and (
        old.get("status") not in UNFINISHED or old.get("epoch") != str(call.arguments[0])
    ):
        assert after == before
    begins = call.script in (scripts.REQUEUE, *ANEW)
    if not begins and call.script not in (scripts.DELETE, scripts.FORGET) and old.get("status") not in UNFINISHED:
        assert new.get("status") == old.get("status") or not old
        assert new.get("version") == old.get("version")
    if is_searched(old) and call.script not in (scripts.DELETE, scripts.FORGET, version_scripts.REBUILD):
        assert is_searched(new)
        assert new["version"] == old["version"] or call.script == scripts.FINISH
    if not begins and call.script != scripts.FORGET and not new.get("replacement"):
        assert all(int(new.get(count, 0)) >= int(old.get(count, 0)) for count in COUNTS)
    if call.script != scripts.FORGET:
        assert int(new.get("epoch", 0)) >= int(old.get("epoch", 0))


def is_searched(record: dict[str, str]) -> bool:
    """Whether searches see a version of the document."""
    status = record.get("status")
    return bool(record.get("version")) and (status == "ready" or (bool(record.get("live")) and status != "deleted"))


class RegistryMachine(RuleBasedStateMachine):
    """Two workers, uploads, deletions, requeues and purges, each call of which meets a fate."""

    documents: Bundle[str] = Bundle("documents")
    fates = st.sampled_from(Fate)
    workers = st.sampled_from((0, 1))

    def __init__(self, redis: Redis) -> None:
        super().__init__()
        for key in redis.scan_iter():
            redis.delete(key)
        self._redis = redis
        self._registry = FaultyRegistry(redis)
        self._leases: dict[int, Lease] = {}
        self._tokens = 0

    def _call(self, coroutine: Coroutine[Any, Any, T], fate: Fate = Fate.ARRIVES) -> T | None:
        self._registry.fate = fate
        try:
            coroutine.send(None)
        except StopIteration as end:
            return cast("T", end.value)
        except (DependencyUnavailable, NotFound, LeaseLostError, Conflict):
            return None
        raise AssertionError("The call waits for something.")

    @rule(target=documents, content=st.sampled_from("ab"), fate=fates)
    def upload(self, content: str, fate: Fate) -> str:
        new = NewDocument("t", make_document_id(), "a.pdf", content, 1)
        self._registry.known.add(new.document_id)
        self._call(self._registry.create(new), fate)
        return new.document_id

    @rule(worker=workers, document_id=documents, fate=fates)
    def claim(self, worker: int, document_id: str, fate: Fate) -> None:
        self._tokens += 1
        lease = self._call(self._registry.claim(make_job(document_id), str(self._tokens), LEASE_MS), fate)
        if isinstance(lease, Lease):
            self._leases[worker] = lease

    @precondition(lambda self: self._leases)
    @rule(
        worker=workers,
        status=st.sampled_from((DocumentStatus.PARSING, DocumentStatus.EMBEDDING)),
        counts=st.dictionaries(st.sampled_from(COUNTS), st.integers(0, 3)),
        fate=fates,
    )
    def report(self, worker: int, status: DocumentStatus, counts: dict[str, int], fate: Fate) -> None:
        if (lease := self._leases.get(worker)) is not None:
            self._call(self._registry.update(lease, Progress(status, title="A title", **counts)), fate)

    @precondition(lambda self: self._leases)
    @rule(worker=workers, version=st.sampled_from(("v1", "v2", None)), fate=fates)
    def finish(self, worker: int, version: str | None, fate: Fate) -> None:
        if (lease := self._leases.get(worker)) is None:
            return
        if version is None:
            self._call(self._registry.fail(lease, DocumentFailure(code="damaged", detail="Save it anew.")), fate)
        else:
            self._call(self._registry.publish(lease, version, []), fate)

    @precondition(lambda self: self._leases)
    @rule(worker=workers, fate=fates)
    def release(self, worker: int, fate: Fate) -> None:
        if (lease := self._leases.get(worker)) is not None:
            self._call(self._registry.release(lease), fate)

    @rule(document_id=documents)
    def let_the_lease_run_out(self, document_id: str) -> None:
        self._redis.delete(f"pagewire:t:lease:{document_id}")

    @rule(document_id=documents, fate=fates)
    def delete(self, document_id: str, fate: Fate) -> None:
        self._call(self._registry.delete("t", document_id), fate)

    @rule(document_id=documents, fate=fates)
    def requeue(self, document_id: str, fate: Fate) -> None:
        self._call(self._registry.requeue(make_job(document_id)), fate)

    @rule(document_id=documents, content=st.sampled_from("abc"), fate=fates)
    def replace(self, document_id: str, content: str, fate: Fate) -> None:
        self._tokens += 1
        new = Content("a.pdf", content, 1, f"{document_id}.{self._tokens}")
        self._call(self._registry.replace(make_job(document_id), new), fate)

    @rule(document_id=documents, version=st.sampled_from(("v1", "v2")), fate=fates)
    def reindex(self, document_id: str, version: str, fate: Fate) -> None:
        self._call(self._registry.reindex(make_job(document_id), version), fate)

    @rule(document_id=documents, fate=fates)
    def rebuild(self, document_id: str, fate: Fate) -> None:
        self._call(self._registry.rebuild(make_job(document_id)), fate)

    @rule(document_id=documents, fate=fates)
    def forget(self, document_id: str, fate: Fate) -> None:
        self._call(self._registry.forget(make_job(document_id)), fate)

    @precondition(lambda self: self._registry.late)
    @rule(position=st.integers(0, 1000))
    def deliver_late(self, position: int) -> None:
        late = self._registry.late
        self._registry.deliver(late.pop(position % len(late)))

    def teardown(self) -> None:
        """Whatever happened: what is unfinished can be finished, and what is deleted can be removed without a trace."""
        registry = self._registry
        for document_id in registry.state.sets["pending"]:
            self._redis.delete(f"pagewire:t:lease:{document_id}")
            lease = self._call(registry.claim(make_job(document_id), "the last", LEASE_MS))
            assert isinstance(lease, Lease)
            self._call(registry.publish(lease, "v3", []))
        for document_id in registry.state.sets["purging"]:
            self._call(registry.forget(make_job(document_id)))
        for record in registry.state.records.values():
            assert record["status"] in ("ready", "failed") or record.keys() == {"status", "deleted_by"}


def make_job(document_id: str) -> DocumentJob:
    return DocumentJob(tenant="t", document_id=document_id)


def test_records_stay_true_whatever_becomes_of_calls(private_redis: str) -> None:
    """Ready is searchable, unfinished is pending, deleted is gone, final is final, counts rise, events agree.

    The scripts run on a real Redis; each call may arrive late, twice or never, in any order.
    """
    with Redis.from_url(private_redis, decode_responses=True) as redis:

        class Machine(RegistryMachine):
            def __init__(self) -> None:
                super().__init__(redis)

        run_state_machine_as_test(Machine, settings=settings(max_examples=60, stateful_step_count=40, deadline=None))
