"""Documents are processed together; one that is under suspicion alone, and it need not wait for ever."""

import asyncio

from services.ingest.use_cases.exclusive_gate import ExclusiveGate
from shared.tasks import end_tasks


class Visitor:
    """A task that enters, and stays until it is told to leave."""

    def __init__(self, gate: ExclusiveGate, *, alone: bool = False) -> None:
        self.inside = asyncio.Event()
        self.waited = asyncio.Event()
        self.leave = asyncio.Event()
        self.task = asyncio.create_task(self._visit(gate, alone))

    async def _visit(self, gate: ExclusiveGate, alone: bool) -> None:
        async with gate.enter(alone=alone, while_waiting=self._note, every_s=0.01):
            self.inside.set()
            await self.leave.wait()

    async def _note(self) -> None:
        self.waited.set()

    async def end(self) -> None:
        self.leave.set()
        await self.task


async def test_one_that_must_be_alone_waits_and_holds_the_later_ones_back() -> None:
    """First those that were there, then the one alone, then the others together."""
    gate = ExclusiveGate()
    early = [Visitor(gate), Visitor(gate)]
    for visitor in early:
        await visitor.inside.wait()
    suspect = Visitor(gate, alone=True)
    await suspect.waited.wait()
    late = [Visitor(gate), Visitor(gate)]
    for visitor in late:
        await visitor.waited.wait()

    await early[0].end()
    assert not suspect.inside.is_set()
    await early[1].end()
    await suspect.inside.wait()
    assert not any(visitor.inside.is_set() for visitor in late)

    await suspect.end()
    for visitor in late:
        await visitor.inside.wait()
    for visitor in late:
        await visitor.end()


async def test_two_that_must_be_alone_take_turns() -> None:
    """Never both at once."""
    gate = ExclusiveGate()
    first = Visitor(gate, alone=True)
    await first.inside.wait()
    second = Visitor(gate, alone=True)
    await second.waited.wait()
    assert not second.inside.is_set()

    await first.end()
    await second.inside.wait()
    await second.end()


async def test_one_that_gives_up_waiting_lets_the_others_in() -> None:
    """The worker stops, or the document is deleted."""
    gate = ExclusiveGate()
    early = Visitor(gate)
    await early.inside.wait()
    suspect = Visitor(gate, alone=True)
    await suspect.waited.wait()
    late = Visitor(gate)
    await late.waited.wait()

    await end_tasks(suspect.task)

    await late.inside.wait()
    for visitor in (early, late):
        await visitor.end()
