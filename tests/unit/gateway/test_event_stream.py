"""A connection that ends before its run says so in the client's own dialect."""

from collections.abc import AsyncGenerator

import pytest

from services.gateway.api.event_stream import encode_log
from services.gateway.runs.dialects import native
from services.gateway.runs.dialects.openai_chat import ChatEncoder
from services.gateway.runs.dialects.openai_sources import AnswerHead
from shared.contracts.runs import Delta, RunEvent
from shared.errors import DependencyUnavailable
from shared.event_log.port import EventBatch, LogClosedError


@pytest.mark.parametrize(
    ("error", "code"), [(LogClosedError(), "server_shutdown"), (DependencyUnavailable("x"), "dependency_unavailable")]
)
async def test_the_error_that_ends_a_connection_is_in_its_dialect(error: Exception, code: str) -> None:
    """Whether the server stops or the log cannot be read: after what has come, as one last event."""

    async def read() -> AsyncGenerator[EventBatch[RunEvent], None]:
        yield EventBatch(3, [Delta("a")])
        raise error

    encoder = ChatEncoder(AnswerHead("run_1", 1, "m", "http://h"), include_usage=False)
    first, *rest = [data async for data in encode_log(read(), encoder.encode_batch, encoder.encode_break)]
    ours = [data async for data in encode_log(read(), lambda batch: native.encode_batch(batch, "run_1", ()))]

    assert b'"content":"a"' in first
    (last,) = rest
    assert last.startswith(b'data: {"error":{')
    assert f'"code":"{code}"'.encode() in last
    assert ours[-1].startswith(b"event: error\n")
