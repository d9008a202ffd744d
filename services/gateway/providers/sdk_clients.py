"""Opens the SDKs' clients over aiohttp, bounded in connections and in the time to connect.

None tries again by itself: an SDK would wait as long as Retry-After says, while the gateway can ask another provider
at once. Each SDK is imported when its client is opened: that takes up to seconds, which someone who runs without its
key should not wait for. So open clients in a thread or before the event loop runs.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from services.gateway.providers.answer_stream import HttpResponse

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic
    from groq import AsyncGroq
    from openai import AsyncOpenAI

_MAX_CONNECTIONS: Final = 4096
"""One per running answer, of which there may be as many as clients (`connection_gate.py`); the groq SDK's own default,
100, would make the 101st wait."""
_POOL_TIMEOUT_S: Final = 2.0
"""How long one more answer waits for one."""
_KEEPALIVE_S: Final = 30.0

# Always passed on: given none, the SDKs read variables of their own, and only our settings decide where prompts go.
_OPENAI_URL: Final = "https://api.openai.com/v1"
_ANTHROPIC_URL: Final = "https://api.anthropic.com"
_GROQ_URL: Final = "https://api.groq.com"

_PATHS: Final = {
    "openai": "/chat/completions",
    "anthropic": "/v1/messages",
    "groq": "/openai/v1/chat/completions",
}
_HEADERS: Final = {"Accept-Encoding": "identity"}
"""Compressed events sit in the compressor's buffer until it is full, and can expand without bound."""

SendBody = Callable[[Mapping[str, Any]], Awaitable[HttpResponse]]
"""Sends what is asked, and returns the response once its headers are there."""


def open_openai(api_key: str, base_url: str | None, connect_timeout_s: float) -> "AsyncOpenAI":
    """Open a client of OpenAI, or of the server at `base_url`, which ends in `/v1`."""
    import httpx2
    import openai

    bounds = _make_bounds(httpx2, connect_timeout_s)
    return openai.AsyncOpenAI(
        api_key=api_key,
        base_url=base_url or _OPENAI_URL,
        max_retries=0,
        timeout=bounds["timeout"],
        http_client=openai.DefaultAioHttpClient(**bounds),
    )


def open_anthropic(api_key: str, base_url: str | None, connect_timeout_s: float) -> "AsyncAnthropic":
    """Open a client of Anthropic, or of the bare host `base_url`: the SDK appends `/v1/messages`."""
    import anthropic
    import httpx2

    bounds = _make_bounds(httpx2, connect_timeout_s)
    return anthropic.AsyncAnthropic(
        api_key=api_key,
        base_url=base_url or _ANTHROPIC_URL,
        max_retries=0,
        timeout=bounds["timeout"],
        http_client=anthropic.DefaultAioHttpClient(**bounds),
    )


def open_groq(api_key: str, base_url: str | None, connect_timeout_s: float) -> "AsyncGroq":
    """Open a client of Groq, or of the bare host `base_url`: the SDK appends `/openai/v1/chat/completions`."""
    import groq
    import httpx

    bounds = _make_bounds(httpx, connect_timeout_s)
    return groq.AsyncGroq(
        api_key=api_key,
        base_url=base_url or _GROQ_URL,
        max_retries=0,
        timeout=bounds["timeout"],
        http_client=groq.DefaultAioHttpClient(**bounds),
    )


def make_sender(client: "AsyncOpenAI | AsyncAnthropic | AsyncGroq", provider: str) -> SendBody:
    """Return what asks a provider by its SDK, with its key and its errors.

    Not the SDKs' own methods for it: those of chat completions look at each field by its type, for 0.3 ms per question.
    """
    import httpx2

    post: Any = client.post
    response_type: type[HttpResponse] = httpx2.Response
    if provider == "groq":
        import httpx

        response_type = httpx.Response
    path, options = _PATHS[provider], {"headers": _HEADERS}
    return lambda body: post(path, body=body, cast_to=response_type, options=options, stream=True)


def _make_bounds(http: Any, connect_timeout_s: float) -> dict[str, Any]:
    """Return `timeout` and `limits` of an HTTP client; `http` is the module httpx or httpx2.

    What the aiohttp transport does not know is left out: a limit for idle connections, a timeout for writing. Its
    `pool` is the time for a free connection with that to connect. `read` would set a timer for each piece that comes:
    whoever asks bounds the waits (`idle_watchdog.py`).
    """
    return {
        "timeout": http.Timeout(
            connect=connect_timeout_s, read=None, write=None, pool=connect_timeout_s + _POOL_TIMEOUT_S
        ),
        "limits": http.Limits(max_connections=_MAX_CONNECTIONS, keepalive_expiry=_KEEPALIVE_S),
    }
