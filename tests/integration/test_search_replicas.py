"""Three retrieval services as processes, on one Redis and one Qdrant server: the same answer from each.

One embeds with torch, two with OpenVINO.
"""

import asyncio
import itertools
import random
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx
import pytest

from services.gateway.documents.accept_document import accept_document, delete_document
from services.gateway.documents.replace_document import replace_document
from shared.contracts.documents import DocumentStatus
from tests.asking import end_asking
from tests.patience import PATIENT_S
from tests.pdfs import make_pdf
from tests.retrieval_fleet import Answer, Replica, run_replicas
from tests.worker_fleet import TENANT, Fleet, run_fleet

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

THINGS = ("crane", "winch", "gantry", "hoist", "pump", "valve", "meter", "filter")
PLACES = ("hall", "yard", "cellar", "tower", "harbour")
ASKED_AT_ONCE = 20
CHANGES = 20
PAGES = 3
SCORES = 1e-5
"""By how much scores may differ from one engine to the other, which changes a vector by 1e-6."""


def make_manual(number: int) -> bytes:
    """Pages that are nearly those of all other manuals, as of one publisher; the last one is the same in all."""
    chance = random.Random(number)
    pages = []
    for page in range(1, 4):
        lines = [
            f"The {thing} in the {chance.choice(PLACES)} lifts {chance.randint(1, 9)} tonnes and is looked at after"
            f" {chance.randint(2, 30)} weeks."
            for thing in chance.sample(THINGS, 5)
        ]
        pages.append("\n".join([f"Chapter {page} of manual {number}", *lines]))
    pages.append("Warranty\nThe maker mends what breaks within two years, unless it was opened by others.")
    return make_pdf(pages, title=f"Manual {number}")


QUESTIONS = [
    *(f"How much does the {thing} in the {place} lift?" for thing, place in [*itertools.product(THINGS, PLACES)][::3]),
    *(f"When must somebody look at a {thing}?" for thing in THINGS),
    *(f"What does manual {number} say about the {thing}?" for number, thing in enumerate(THINGS)),
    "Is there a warranty?",
    "Who repairs it for nothing?",
    "tonnes",
    "Wie viel hebt der Kran in der Halle?",
    "the of and",
    "?!",
    "起重机能吊多少吨？",
    " ".join(THINGS * 20),
]


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(trust_env=False, timeout=PATIENT_S, limits=limits) as opened:
        yield opened


ENGINES = [{"PAGEWIRE_EMBEDDING_ENGINE": name} for name in ("torch", "openvino", "openvino")]


@pytest.fixture
async def fleet(tmp_path: Path, redis_url: str, qdrant_url: str) -> AsyncIterator[Fleet]:
    """A worker."""
    async with run_fleet(tmp_path, redis_url, qdrant_url, workers=1, reconcile_interval_s=0.5) as running:
        yield running


@pytest.fixture
async def replicas(fleet: Fleet) -> AsyncIterator[list[Replica]]:
    async with run_replicas(fleet, *ENGINES) as running:
        yield running


async def ask_each(replicas: Sequence[Replica], client: httpx.AsyncClient, query: str) -> list[Answer]:
    """What each of the services says, asked at the same time."""
    return list(await asyncio.gather(*(replica.search(client, query) for replica in replicas)))


def check_same(answers: Sequence[Answer], query: str) -> None:
    """The same passages in the same order, with scores that differ by no more than SCORES."""
    first, *others = answers
    assert [answer.status for answer in answers] == [200] * len(answers)
    for other in others:
        assert other.texts == first.texts, query
        assert other.documents == first.documents, query
        assert other.scores == pytest.approx(first.scores, abs=SCORES), query


async def test_every_replica_gives_the_same_answer(
    fleet: Fleet, replicas: list[Replica], client: httpx.AsyncClient
) -> None:
    """Whichever engine embeds, alone and while others are asked, and where one was stopped and started again.

    The one that is stopped answers what it has begun, and refuses what comes later, so that a gateway asks another one.
    """
    ids = [await fleet.upload(f"manual {number}.pdf", make_manual(number)) for number in range(12)]
    for record in await fleet.wait_until_final(ids):
        assert record.status is DocumentStatus.READY

    alone: dict[str, list[Answer]] = {}
    for query in QUESTIONS:
        alone[query] = await ask_each(replicas, client, query)
        check_same(alone[query], query)
        again = await ask_each(replicas, client, query)
        assert [answer.passages for answer in again] == [answer.passages for answer in alone[query]], query
        assert alone[query][1].passages == alone[query][2].passages, query
    assert len({answers[0].passages for answers in alone.values()}) > len(QUESTIONS) / 2

    await check_stop(replicas[2], client)
    await replicas[2].start()
    for first in range(0, len(QUESTIONS), ASKED_AT_ONCE):
        queries = QUESTIONS[first : first + ASKED_AT_ONCE]
        for query, answers in zip(
            queries, await asyncio.gather(*(ask_each(replicas, client, query) for query in queries)), strict=True
        ):
            check_same([*alone[query][:1], *answers], query)
            # Replicas of one engine agree to the last digit, whatever else each is asked.
            assert [answer.passages for answer in answers] == [answer.passages for answer in alone[query]], query


async def check_stop(replica: Replica, client: httpx.AsyncClient) -> None:
    """Stop a service under searches. Those that take longer than its ten seconds of grace would be broken off."""
    searches = [asyncio.create_task(replica.search(client, f"{query} {n}")) for n, query in enumerate(QUESTIONS[:12])]
    await asyncio.wait(searches, return_when=asyncio.FIRST_COMPLETED)
    assert await replica.stop() in (0, -signal.SIGTERM)

    answers = await asyncio.gather(*searches, return_exceptions=True)
    assert {answer.status for answer in answers if isinstance(answer, Answer)} == {200}
    refused = [answer for answer in answers if not isinstance(answer, Answer)]
    assert [error for error in refused if not isinstance(error, httpx.TransportError)] == []


class History:
    """States of the searched documents, one after the other, and how far the changes have come.

    A state says of which edition each document is; no two editions of any documents are the same.
    """

    def __init__(self) -> None:
        self.states: list[dict[int, int]] = [{}]
        self.done = 0
        self.seen = 0

    def begin(self, number: int, edition: int | None) -> None:
        """Begin a change of a document: its new edition, or None, when it is deleted."""
        state = {key: value for key, value in self.states[-1].items() if key != number}
        self.states.append(state if edition is None else {**state, number: edition})

    def end(self) -> None:
        """Note that whoever asked for the change was told of its end."""
        self.done = len(self.states) - 1

    def note(self, answer: Answer, least: int) -> None:
        """Hold an answer against the states that there were from `least` on, and remember which one it is of."""
        found = sorted(answer.texts)
        for number in range(len(self.states) - 1, least - 1, -1):
            if found == sorted(line for edition in self.states[number].values() for line in list_lines(edition)):
                self.seen = max(self.seen, number)
                return
        raise AssertionError(f"{found} is none of {self.states[least:]}")


def list_lines(edition: int) -> list[str]:
    """What stands on each page of an edition."""
    return [f"Page {page} of the manual describes edition {edition}" for page in range(1, PAGES + 1)]


async def test_an_answer_is_that_of_one_state_which_no_replica_goes_back_behind(
    fleet: Fleet, replicas: list[Replica], client: httpx.AsyncClient
) -> None:
    """Documents are added, replaced and deleted while all replicas are asked. What was told to be ready is found by
    each of them from then on, what was told to be deleted by none; and what one has shown the others show, too."""
    history = History()
    searches = [0] * len(replicas)

    async def ask_forever(number: int) -> None:
        while True:
            least = max(history.done, history.seen)
            answer = await replicas[number].search(client, "Which edition does the manual describe?", top_k=50)
            assert answer.status == 200, answer.passages
            history.note(answer, least)
            searches[number] += 1

    async def change(document_id: str | None, edition: int) -> str:
        """Add a document, or replace this one, and return its id when it is ready."""
        received = await fleet.receive("manual.pdf", make_pdf(list_lines(edition), title="Manual"))
        if document_id is None:
            document_id = (await accept_document(TENANT, received, fleet.deps))[0].document_id
        else:
            await replace_document(TENANT, document_id, received, fleet.deps)
        while not (record := await fleet.get(document_id)).settled:
            await asyncio.sleep(0.002)
        assert (record.status, record.replacement) == (DocumentStatus.READY, None)
        return document_id

    asking = [asyncio.create_task(ask_forever(number)) for number in [*range(len(replicas))] * 2]
    ids: dict[int, str] = {}
    try:
        for edition in range(1, CHANGES + 1):
            kind = edition % 5
            number = edition if kind in (1, 2) else [*ids][edition % len(ids)]
            history.begin(number, None if kind == 0 else edition)
            if kind == 0:
                await delete_document(TENANT, ids.pop(number), fleet.deps)
            else:
                ids[number] = await change(ids.get(number), edition)
            history.end()
            if any(task.done() for task in asking):
                break
    finally:
        await end_asking(asking)
    print(f"{searches} searches during {CHANGES} changes")
    assert min(searches) > CHANGES
