"""What docs/front-ends.md shows works as it stands there."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest
from playwright._impl._driver import compute_driver_executable

from services.gateway.settings import GatewaySettings
from tests.canned_search import CannedSearch
from tests.integration.openai_gateway import open_openai_gateway
from tests.llm_server import TOKENS, Scenario, run_llm_server
from tests.patience import PATIENT_S

PAGE = (Path(__file__).parents[2] / "docs/front-ends.md").read_text()
ADDRESS = "http://127.0.0.1:8000"
ANSWER = "".join(TOKENS)


def list_snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
async def client(settings: GatewaySettings, ready_document: str) -> AsyncIterator[openai.AsyncOpenAI]:
    """A client of a gateway whose default provider gives a fixed answer."""
    search = CannedSearch(ready_document, count=3)
    async with run_llm_server() as llm, open_openai_gateway(settings, search, llm, Scenario.OK) as opened:
        yield opened


async def run_snippet(command: list[str], snippet: str, client: openai.AsyncOpenAI) -> str:
    """What a program prints that has the address of this gateway in place of the usual one."""
    assert ADDRESS in snippet
    url = str(client.base_url).removesuffix("/v1/")
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, problems = await asyncio.wait_for(process.communicate(snippet.replace(ADDRESS, url).encode()), PATIENT_S)
    assert process.returncode == 0, problems.decode()
    return output.decode()


async def test_the_python_snippets_print_answer_and_sources(client: openai.AsyncOpenAI) -> None:
    """With the package as it is installed."""
    snippets = list_snippets("python")
    running = (run_snippet([sys.executable, "-"], snippet, client) for snippet in snippets)
    streamed, whole, response, tool = await asyncio.gather(*running)

    assert streamed.startswith(f"{ANSWER}\nFiling, page 1: http://127.0.0.1:")
    assert response.startswith(f"{ANSWER}\nFiling, page 1: http://127.0.0.1:")
    assert tool == f"{ANSWER}\n"
    assert whole.startswith(f"{ANSWER}\n[1] Filing, page 1 \n[2] Filing, page 2 (not cited)\n")


async def test_the_fetch_snippets_print_what_they_show(client: openai.AsyncOpenAI) -> None:
    """In Node, which has the same `fetch` as browsers."""
    node = compute_driver_executable()[0]
    streamed, conversation = [
        await run_snippet([str(node), "--input-type=module", "-"], snippet, client)
        for snippet in list_snippets("javascript")
    ]

    assert streamed.startswith(ANSWER)
    assert "[3] Filing, page 3" in streamed
    assert conversation == (
        f"{ANSWER}\n{ANSWER} searched: How long does the station heat it (E17)?\n"
        "What does fault code E17 mean? \nHow long does the station heat it? \n"
    )


async def test_what_the_front_ends_send_is_answered(client: openai.AsyncOpenAI) -> None:
    """LibreChat's default parameters with those of the page, and Open WebUI's custom parameter."""
    added = dict(re.findall(r"^        (\w+): \"(\w+)\"$", list_snippets("yaml")[0], re.MULTILINE))
    librechat = {"temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0, "user": "u", **added}
    open_webui = {"stream_options": {"include_usage": True}, "sources_as": "open_webui", "metadata": {"chat_id": "1"}}
    assert added == {"sources_as": "markdown"}
    assert "`sources_as` with\nthe value `open_webui`" in PAGE

    for options in (librechat, open_webui):
        body = {"model": "pagewire", "stream": True, "messages": [{"role": "user", "content": "How much?"}], **options}
        response = await client.post("/chat/completions", body=body, cast_to=str)
        chunks = [json.loads(line[6:]) for line in response.splitlines() if line.startswith("data: {")]
        text = "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"])
        assert text.startswith(ANSWER)
        assert ("[Filing, page 1](http://" in text) == (options is librechat)
        assert len([chunk for chunk in chunks if "event" in chunk]) == (0 if options is librechat else 3)
