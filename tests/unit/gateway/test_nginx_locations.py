"""nginx cuts a silent stream after a minute, and nothing else: its pattern knows the routes that send heartbeats."""

import re

import pytest

from tests.standalone_process import ROOT


@pytest.mark.parametrize(
    ("path", "streams"),
    [
        ("/query/stream", True),
        ("/runs/run_1/events", True),
        ("/documents/doc_1/events", True),
        ("/api/chat", True),
        ("/api/chat/chat-1/stream", True),
        ("/query", False),
        ("/documents", False),
        ("/other/api/chat", False),
        ("/api/chats", False),
    ],
)
def test_only_routes_with_heartbeats_are_cut_when_they_are_silent(path: str, streams: bool) -> None:
    """A whole answer is silent until it is there; a stream never is."""
    (pattern,) = re.findall(r"location ~ (\S+) \{", (ROOT / "deploy" / "nginx.conf").read_text())

    assert bool(re.search(pattern, path)) == streams
