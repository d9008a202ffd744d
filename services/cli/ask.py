"""`pagewire ask`: prints an answer while it is written, then what it rests on."""

import json
from collections.abc import Iterator, Sequence

import httpx
from httpx_sse import EventSource, ServerSentEvent

from services.cli.gateway import NOT_PAGEWIRE, CliError, check_response, connect, read_as
from services.cli.terminal import clean_line, clean_text, say
from shared.contracts.questions import ErrorEvent, QueryRequest, Source, SourcesEvent
from shared.surrogates import join_halves

CUT_OFF = {
    "length": "The answer was cut off at the limit of output tokens. Raise PAGEWIRE_LLM_MAX_OUTPUT_TOKENS.",
    "filtered": "The answer was cut off by the provider's filter. Ask in another way.",
    "other": "The answer may not be complete: the language model stopped for another reason than its end. Ask again.",
}
"""What to say by the reason for which an answer ended, where that is not its own end."""


def ask(url: str, query: QueryRequest) -> None:
    """Prints the answer while it is written, then what it rests on. Raises CliError for half an answer."""
    body = query.model_dump(mode="json", exclude_none=True)
    headers = {"Accept": "text/event-stream"}
    with connect(url) as client, client.stream("POST", "/query/stream", json=body, headers=headers) as response:
        check_response(response)
        end = print_answer(EventSource(response).iter_sse())
    for line in describe_sources(end.sources):
        say(line)
    if problem := CUT_OFF.get(end.finish_reason):
        raise CliError(problem)


def print_answer(events: Iterator[ServerSentEvent]) -> SourcesEvent:
    """Prints tokens as they come; returns the event that ends them."""
    printed, half = False, ""
    try:
        for event in events:
            if event.event == "token":
                printed = True
                text, half = join_halves(half + read_token(event.data))
                print(clean_text(text), end="", flush=True)
            elif event.event == "sources":
                return read_as(SourcesEvent, event.data)
            elif event.event == "error":
                raise CliError(describe_stream_error(read_as(ErrorEvent, event.data)))
    except httpx.TransportError as error:
        raise CliError(describe_break(printed)) from error
    finally:
        if printed:
            say("")
    raise CliError(describe_break(printed))


def read_token(data: str) -> str:
    """The text of a token event; not through the contract, whose parser refuses half a surrogate pair."""
    try:
        token = json.loads(data)["token"]
    except (ValueError, KeyError, TypeError):
        token = None
    if not isinstance(token, str):
        raise CliError(NOT_PAGEWIRE)
    return token


def describe_stream_error(event: ErrorEvent) -> str:
    """What the gateway said, and how much of the answer there is."""
    again = " Ask again." if event.error.retryable and "again" not in event.error.message else ""
    partial = " The answer above is not complete." if event.error.partial else ""
    return f"{event.error.message}{partial}{again}"


def describe_break(printed: bool) -> str:
    """A stream that ended without its last event."""
    what = "the answer above is not complete" if printed else "there is no answer"
    return f"the connection broke off: {what}. Ask again."


def describe_sources(sources: Sequence[Source]) -> Iterator[str]:
    """A line for each source: number, title, page, and what is wrong with it."""
    if sources:
        yield ""
        yield "Sources"
    for source in sources:
        note = "  (not cited)" if not source.cited else "  (not supported)" if source.supported is False else ""
        note += "  (read by OCR)" if source.ocr else ""
        yield f"  [{source.n}] {clean_line(source.title)}, page {source.page}{note}"
