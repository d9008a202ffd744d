"""nginx cuts a silent stream after a minute, and nothing else: its pattern knows the routes that send heartbeats."""

import re

import pytest

from services.gateway.settings import GatewaySettings
from tests.standalone_process import ROOT

CONFIGURATION = (ROOT / "deploy" / "nginx.conf").read_text()


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
        ("/v1/chat/completions", False),
        ("/v1/responses", False),
        ("/other/api/chat", False),
        ("/api/chats", False),
    ],
)
def test_only_routes_with_heartbeats_are_cut_when_they_are_silent(path: str, streams: bool) -> None:
    """A whole answer is silent until it is there; a stream never is."""
    (pattern,) = re.findall(r"location ~ (\S+) \{", CONFIGURATION)

    assert bool(re.search(pattern, path)) == streams


def test_metrics_are_not_handed_out() -> None:
    """That address itself, before all patterns, is answered here; tests/integration/test_behind_nginx.py asks nginx."""
    (block,) = re.findall(r"location = /metrics \{(.*?)\n    \}", CONFIGURATION, re.DOTALL)

    assert "return 404" in block
    assert "proxy_pass" not in block


def test_a_whole_answer_may_be_silent_as_long_as_it_may_take() -> None:
    """Those below /v1/ too, which may be streams or not: the gateway ends them, not nginx."""
    everywhere, streams = [int(seconds) for seconds in re.findall(r"proxy_read_timeout (\d+)s;", CONFIGURATION)]
    defaults = GatewaySettings.model_construct()

    assert everywhere > max(defaults.run_deadline_s, defaults.max_upload_wait_s)
    assert streams > 2 * defaults.heartbeat_s
