"""The two usual ways to relay a model's answer, written as the tutorials write them: `uvicorn …typed_servers:app`.

No idle timeout, no send timeout, no citations, no usage: they do less than Pagewire, so the comparison favours them.
"""

import json
import os
from collections.abc import AsyncIterator, Iterator
from functools import cache

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel
from sse_starlette.sse import EventSourceResponse

app = FastAPI()


class Question(BaseModel):
    """What is asked."""

    question: str


@cache
def open_sync() -> OpenAI:
    """Return the blocking client."""
    return OpenAI(base_url=os.environ["BENCH_UPSTREAM"], api_key="sk-bench")


@cache
def open_async() -> AsyncOpenAI:
    """Return the asynchronous client."""
    return AsyncOpenAI(base_url=os.environ["BENCH_UPSTREAM"], api_key="sk-bench")


@app.get("/health")
def health() -> str:
    """Say that the server is there."""
    return "ok"


@app.post("/tutorial")
def tutorial(question: Question) -> StreamingResponse:
    """Stream from a blocking generator, which the framework runs in its thread pool."""

    def write() -> Iterator[str]:
        stream = open_sync().chat.completions.create(
            model="bench", messages=[{"role": "user", "content": question.question}], stream=True
        )
        for chunk in stream:
            if chunk.choices and (text := chunk.choices[0].delta.content):
                yield f"data: {json.dumps({'token': text})}\n\n"

    return StreamingResponse(write(), media_type="text/event-stream")


async def _write_typed(question: str) -> AsyncIterator[str]:
    stream = await open_async().chat.completions.create(
        model="bench", messages=[{"role": "user", "content": question}], stream=True
    )
    async with stream:
        async for chunk in stream:
            if chunk.choices and (text := chunk.choices[0].delta.content):
                yield json.dumps({"token": text})


@app.post("/typed-sse")
async def typed_sse(question: Question) -> EventSourceResponse:
    """Stream with the typed asynchronous SDK and sse-starlette."""
    return EventSourceResponse(_write_typed(question.question), sep="\n")


@app.post("/typed-streaming")
async def typed_streaming(question: Question) -> StreamingResponse:
    """Stream with the typed asynchronous SDK and Starlette's own response."""

    async def write() -> AsyncIterator[str]:
        async for data in _write_typed(question.question):
            yield f"data: {data}\n\n"

    return StreamingResponse(write(), media_type="text/event-stream")
