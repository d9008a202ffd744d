"""A follow-up in OpenAI's dialects: what was searched for is told, and its making counts, for OpenAI's own client."""

from typing import Any

import openai

from services.gateway.settings import GatewaySettings
from tests.canned_search import CannedSearch
from tests.integration.openai_gateway import check_strictly, open_openai_gateway
from tests.llm_server import INPUT_TOKENS, TOKENS, LlmServer, Scenario

TURNS: Any = [
    {"role": "user", "content": "What was revenue of Acme in 2019?"},
    {"role": "assistant", "content": "It was 5 [1]."},
    {"role": "user", "content": "and in 2020?"},
]
STANDALONE = ("What was the revenue of Acme", " in 2020?")
OURS = {"citations", "search_results", "provider", "model", "timings_ms", "cached", "trace_id", "standalone_question"}
MODEL = "pagewire/openai"


async def read_chat(client: openai.AsyncOpenAI, messages: Any) -> list[tuple[Any, int, int]]:
    """What a stream and a whole answer say was searched for, and the tokens in and out."""
    options: Any = {"stream_options": {"include_usage": True}}
    stream = await client.chat.completions.create(model=MODEL, messages=messages, stream=True, **options)
    *_, end, last = [chunk async for chunk in stream]
    whole = await client.chat.completions.create(model=MODEL, messages=messages)
    for part in (end, last):
        check_strictly(part, extra=OURS)
    assert last.usage is not None
    assert whole.usage is not None
    return [
        (told.model_extra["standalone_question"], usage.prompt_tokens, usage.completion_tokens)  # type: ignore[index]
        for told, usage in ((end, last.usage), (whole, whole.usage))
    ]


async def read_responses(client: openai.AsyncOpenAI, messages: Any) -> list[tuple[Any, int, int]]:
    """The same of a response."""
    *_, end = [event async for event in await client.responses.create(model=MODEL, input=messages, stream=True)]
    assert end.type == "response.completed"
    check_strictly(end, extra=OURS | {"supported", "claim", "evidence", "missing"})
    found = []
    for response in (end.response, await client.responses.create(model=MODEL, input=messages)):
        assert response.usage is not None
        told = (response.model_extra or {})["standalone_question"]
        found.append((told, response.usage.input_tokens, response.usage.output_tokens))
    return found


async def test_what_was_searched_for_is_told_and_its_tokens_count(
    settings: GatewaySettings, search: CannedSearch, llm: LlmServer
) -> None:
    """In streams and whole answers; null, and the answer's tokens alone, where the question stands by itself."""
    llm.replies["You rewrite the last question"] = STANDALONE
    alone = (None, INPUT_TOKENS, len(TOKENS))
    rewritten = ("".join(STANDALONE), 2 * INPUT_TOKENS, len(TOKENS) + len(STANDALONE))
    async with open_openai_gateway(settings, search, llm, Scenario.OK) as client:
        assert await read_chat(client, TURNS[:1]) == [alone] * 2
        assert await read_chat(client, TURNS) == [rewritten] * 2
        assert await read_responses(client, TURNS) == [rewritten] * 2
    assert {request.query for request in search.requests[2:]} == {"".join(STANDALONE)}
