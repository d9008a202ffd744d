"""Half of a surrogate pair, which JSON can escape and UTF-8 cannot hold: refused with a code, or replaced; never a 500.

Front ends in JavaScript send it where they cut a text in the midst of an emoji.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from services.gateway.main import create_app, open_gateway
from services.gateway.settings import GatewaySettings
from tests.canned_search import CannedSearch
from tests.http_server import serve_app
from tests.llm_server import LlmServer, Scenario
from tests.patience import PATIENT_S
from tests.pdfs import make_pdf

HALF = "cut\ud83d"


@pytest.fixture
async def client(settings: GatewaySettings, search: CannedSearch, llm: LlmServer) -> AsyncIterator[httpx.AsyncClient]:
    """Of a gateway whose model is asked over HTTP."""
    chosen = {"openai_api_key": SecretStr("sk"), "openai_base_url": llm.urls["openai"], "openai_model": Scenario.OK}
    configured = settings.model_copy(update=chosen)
    app = await asyncio.to_thread(create_app, lambda: open_gateway(configured, search), configured)
    async with serve_app(app) as server, httpx.AsyncClient(base_url=server.url, timeout=PATIENT_S) as client:
        yield client


async def post(client: httpx.AsyncClient, path: str, body: object) -> httpx.Response:
    """Send JSON in ASCII, as the front ends do: httpx itself would refuse to."""
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    return await client.post(path, content=json.dumps(body), headers=headers)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/query", {"question": HALF}),
        ("/query/stream", {"question": HALF}),
        ("/query", {"question": "How much?", "provider": HALF}),
        ("/query", {"question": "How much?", "conversation_id": HALF}),
        ("/query", {"question": "How much?", "document_ids": [HALF]}),
        ("/query", {"question": "How much?", "on_disconnect": HALF}),
        ("/v1/chat/completions", {"model": HALF, "messages": [{"role": "user", "content": "How much?"}]}),
        ("/v1/chat/completions", {"messages": [{"role": HALF, "content": "How much?"}]}),
        ("/v1/responses", {"input": [{"type": HALF}]}),
        ("/api/chat", {"id": HALF, "messages": [{"role": "user", "parts": [{"type": "text", "text": "How much?"}]}]}),
    ],
)
async def test_what_names_something_is_refused_with_a_code(client: httpx.AsyncClient, path: str, body: object) -> None:
    """So is a question: what would be searched for is not what was asked."""
    answer = await post(client, path, body)

    assert answer.status_code == (400 if path.startswith("/v1/") else 422)  # OpenAI knows no 422
    assert answer.json()["error"]["code"] == "invalid_value"


def make_chat(role: str, question: str) -> list[tuple[str, str]]:
    """A conversation in which this role says it; the last turn is the question."""
    return [("user", "What is the heron?"), ("assistant", "A drone."), (role, HALF), ("user", question)]


@pytest.mark.parametrize("role", ["system", "user", "assistant"])
@pytest.mark.parametrize("question", ["How much is it?", f"How much is {HALF}"], ids=["before", "in the question"])
@pytest.mark.parametrize("stream", [False, True])
async def test_in_the_messages_of_a_chat_it_is_replaced(
    client: httpx.AsyncClient, role: str, question: str, stream: bool
) -> None:
    """A chat that has it in its history could not be gone on with."""
    turns = make_chat(role, question)
    messages = [{"role": role, "content": text} for role, text in turns]
    parts = [{"role": role, "parts": [{"type": "text", "text": text}]} for role, text in turns]
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("/v1/chat/completions", {"messages": messages, "stream": stream}),
        ("/v1/responses", {"input": messages, "instructions": HALF, "stream": stream}),
        ("/api/chat", {"id": "chat-1", "messages": parts}),
    ]
    for path, body in bodies:
        answer = await post(client, path, body)
        assert answer.status_code == 200, answer.text
        assert "internal_error" not in answer.text
        assert "383" in answer.text


@pytest.mark.parametrize(
    "call",
    [
        {"method": "tools/call", "params": {"name": "ask", "arguments": {"question": HALF}}},
        {"method": "tools/call", "params": {"name": "search", "arguments": {"query": HALF}}},
        {"method": "tools/call", "params": {"name": "search", "arguments": {"query": "a", HALF: 1}}},
        {"method": "tools/call", "params": {"name": HALF, "arguments": {}}},
        {"method": "resources/read", "params": {"uri": f"pagewire://{HALF}"}},
        {"method": HALF},
    ],
    ids=range(6),
)
@pytest.mark.parametrize("number", [1, HALF])
async def test_assistants_are_refused(client: httpx.AsyncClient, call: dict[str, Any], number: object) -> None:
    """As with any other wrong argument."""
    answer = await post(client, "/mcp", {"jsonrpc": "2.0", "id": number, **call})

    assert answer.status_code < 500, answer.text


async def test_a_name_in_broken_utf8_is_replaced(client: httpx.AsyncClient) -> None:
    """Of a file, in both spellings; and what stands in a path is not found."""
    for number, name in enumerate((b'filename="cut\xed\xa0\xbd.pdf"', b"filename*=utf-8''cut%ED%A0%BD.pdf")):
        head = b'--b\r\nContent-Disposition: form-data; name="file"; ' + name + b"\r\n\r\n"
        body = head + make_pdf([f"text {number}"]) + b"\r\n--b--\r\n"
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        answer = await client.post("/documents", content=body, headers=headers)
        assert answer.status_code == 202
        record = (await client.get(f"/documents/{answer.json()['document_id']}")).json()
        assert record["filename"] == "cut\ufffd\ufffd\ufffd.pdf"
    for path in ("/documents/%ED%A0%BD", "/v1/models/%ED%A0%BD", "/runs/%ED%A0%BD/events", "/conversations/%ED%A0%BD"):
        answer = await client.get(path)
        assert answer.status_code in (404, 422), path
        assert answer.json()["error"]["code"]
