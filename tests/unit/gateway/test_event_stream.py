"""A connection that ends before its run says so in the client's own dialect."""

import pytest

from services.gateway.api.event_stream import send_log
from services.gateway.runs.dialects import native
from services.gateway.runs.dialects.openai_chat import ChatEncoder
from services.gateway.runs.dialects.openai_sources import AnswerHead
from shared.contracts.runs import Delta, RunEvent
from shared.errors import DependencyUnavailable
from shared.event_log.port import EventBatch, EventSink, LogClosedError


class KeepingClient:
    """Has read all at once, and keeps it."""

    is_full = False

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    async def wait_for_room(self) -> None:
        return


@pytest.mark.parametrize(
    ("error", "code"), [(LogClosedError(), "server_shutdown"), (DependencyUnavailable("x"), "dependency_unavailable")]
)
async def test_the_error_that_ends_a_connection_is_in_its_dialect(error: Exception, code: str) -> None:
    """Whether the server stops or the log cannot be read: after what has come, as one last event."""

    async def follow(sink: EventSink[RunEvent]) -> None:
        sink.take(EventBatch(3, [Delta("a")]))
        raise error

    encoder = ChatEncoder(AnswerHead("run_1", 1, "m", "http://h"), include_usage=False)
    theirs, ours = KeepingClient(), KeepingClient()
    await send_log(theirs, follow, encoder.encode_batch, encoder.encode_break)
    await send_log(ours, follow, lambda batch: native.encode_batch(batch, "run_1", ()))

    first, last = theirs.written
    assert b'"content":"a"' in first
    assert last.startswith(b'data: {"error":{')
    assert f'"code":"{code}"'.encode() in last
    assert ours.written[-1].startswith(b"event: error\n")
