"""Opens the SDKs' clients, bounded in time and connections.

None tries again by itself: an SDK would wait as long as Retry-After says, while the gateway can ask another provider
at once. Each SDK is imported when its client is opened: that takes up to seconds, which someone who runs without its
key should not wait for. So open clients in a thread or before the event loop runs.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic
    from groq import AsyncGroq
    from openai import AsyncOpenAI

_WRITE_TIMEOUT_S: Final = 10.0
_POOL_TIMEOUT_S: Final = 2.0
_MAX_CONNECTIONS: Final = 1000
"""One per running answer; the groq SDK's own default, 100, would make the 101st wait."""
_KEPT_CONNECTIONS: Final = 100
_KEEPALIVE_S: Final = 30.0

# Always passed on: given none, the SDKs read variables of their own, and only our settings decide where prompts go.
_OPENAI_URL: Final = "https://api.openai.com/v1"
_ANTHROPIC_URL: Final = "https://api.anthropic.com"
_GROQ_URL: Final = "https://api.groq.com"


@dataclass(frozen=True)
class ClientTimeouts:
    """Seconds to connect, and seconds without a byte."""

    connect_s: float
    idle_s: float


def open_openai(api_key: str, base_url: str | None, timeouts: ClientTimeouts) -> "AsyncOpenAI":
    """Open a client of OpenAI, or of the server at `base_url`, which ends in `/v1`."""
    import httpx2
    import openai

    bounds = _make_bounds(httpx2, timeouts)
    return openai.AsyncOpenAI(
        api_key=api_key,
        base_url=base_url or _OPENAI_URL,
        max_retries=0,
        timeout=bounds["timeout"],
        http_client=openai.DefaultAsyncHttpxClient(**bounds),
    )


def open_anthropic(api_key: str, base_url: str | None, timeouts: ClientTimeouts) -> "AsyncAnthropic":
    """Open a client of Anthropic, or of the bare host `base_url`: the SDK appends `/v1/messages`."""
    import anthropic
    import httpx2

    bounds = _make_bounds(httpx2, timeouts)
    return anthropic.AsyncAnthropic(
        api_key=api_key,
        base_url=base_url or _ANTHROPIC_URL,
        max_retries=0,
        timeout=bounds["timeout"],
        http_client=anthropic.DefaultAsyncHttpxClient(**bounds),
    )


def open_groq(api_key: str, base_url: str | None, timeouts: ClientTimeouts) -> "AsyncGroq":
    """Open a client of Groq, or of the bare host `base_url`: the SDK appends `/openai/v1/chat/completions`."""
    import groq
    import httpx

    bounds = _make_bounds(httpx, timeouts)
    return groq.AsyncGroq(
        api_key=api_key,
        base_url=base_url or _GROQ_URL,
        max_retries=0,
        timeout=bounds["timeout"],
        http_client=groq.DefaultAsyncHttpxClient(**bounds),
    )


def _make_bounds(http: Any, timeouts: ClientTimeouts) -> dict[str, Any]:
    """Return `timeout` and `limits` of an HTTP client; `http` is the module httpx or httpx2."""
    return {
        "timeout": http.Timeout(
            connect=timeouts.connect_s, read=timeouts.idle_s, write=_WRITE_TIMEOUT_S, pool=_POOL_TIMEOUT_S
        ),
        "limits": http.Limits(
            max_connections=_MAX_CONNECTIONS,
            max_keepalive_connections=_KEPT_CONNECTIONS,
            keepalive_expiry=_KEEPALIVE_S,
        ),
    }
