"""What an assistant can do with the documents through the Model Context Protocol: search, ask, list.

A question here is a run like any other. Results are bounded, because they fill the assistant's context.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any, Final

import anyio
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from services.gateway.answers.answer_question import prepare_answer
from services.gateway.api.answers import start_run
from services.gateway.api.cursors import Cursor, find_start, make_cursor
from services.gateway.api.dependencies import GatewayDependencies
from services.gateway.api.event_stream import CLEANUP_S
from services.gateway.runs.supervisor import Run, make_shutdown_failure
from shared.contracts.documents import DocumentRecord, DocumentStatus
from shared.contracts.questions import Citation, FinishReason, QueryRequest, Source, StreamError, Supported
from shared.contracts.runs import Delta, Failed, Finished, PassagesFound
from shared.contracts.search import MAX_QUESTION_CHARS, DocumentId, Passage, SearchFilter, SearchRequest
from shared.event_log.port import LogClosedError

MAX_PASSAGES: Final = 20
"""Some 30,000 characters."""
MAX_LISTED: Final = 100
MAX_MISSING: Final = 10
"""Words per passage that are told to stand in none."""
PROGRESS_S: Final = 0.5
"""Seconds between two reports of how an answer grows: they are for people who wait, not the answer itself."""

Report = Callable[[float, float | None, str | None], Awaitable[None]]
"""Tells a client that wants to know how far its call is: how much, of how much, and in words."""


_Question = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_QUESTION_CHARS)]


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")  # a misspelt argument would be a call that means something else


def _name_documents(default: str) -> Any:
    return Field(default=None, max_length=1000, description=f"ids from list_documents; left out: {default}")


class SearchArguments(_Arguments):
    """What to look for."""

    query: _Question = Field(description="a question or keywords, in the documents' language")
    limit: int = Field(default=5, ge=1, le=MAX_PASSAGES, description="how many passages to return at most")
    document_ids: list[DocumentId] | None = _name_documents("search all documents")


class FoundPassage(BaseModel):
    """A passage, with where it stands."""

    document_id: str
    title: str
    page: int = Field(description="counted from 1")
    ocr_confidence: float | None = Field(
        default=None, description="0..1: read from a picture of the page, and how surely; null: the PDF's own text"
    )
    text: str
    table_head: str = Field(default="", description="where the text is a later part of a table: what its columns are")
    score: float = Field(description="compares passages of one search only")
    uri: str = Field(description="the document as a resource")


class SearchResult(BaseModel):
    """Passages, best first."""

    passages: list[FoundPassage]


class AskArguments(_Arguments):
    """A question."""

    question: _Question = Field(description="a whole question that can be understood by itself")
    document_ids: list[DocumentId] | None = _name_documents("answer from all documents")


class CitedPassage(FoundPassage):
    """A passage that the answer cites."""

    n: int = Field(description="the number by which the answer cites it, as [n]")
    supported: Supported = Field(
        description=(
            "whether it holds the figures, dates, names and quotes of what cites it; `unknown`: there are none, or it"
            " cannot be told"
        )
    )
    missing: list[str] = Field(
        description="words of the answer that cite it and stand in no passage which their sentence cites; some of many"
    )


class AskResult(BaseModel):
    """An answer, and what it rests on."""

    answer: str
    finish_reason: FinishReason = Field(description="`stop`: the answer is complete; anything else: it was cut off")
    sources: list[CitedPassage] = Field(description="the passages that the answer cites")


class ListArguments(_Arguments):
    """Which part of the list."""

    cursor: Cursor | None = Field(default=None, description="`next_cursor` of the call before")
    offset: int = Field(default=0, ge=0, le=1_000_000_000, description="how many to pass by; not with a cursor")
    limit: int = Field(default=50, ge=1, le=MAX_LISTED)


class ListedDocument(BaseModel):
    """A document."""

    document_id: str
    title: str
    filename: str
    status: DocumentStatus = Field(description="only documents that are `ready` are searched")
    pages: int
    uri: str = Field(description="the document as a resource")


class ListResult(BaseModel):
    """Documents, newest first."""

    documents: list[ListedDocument]
    total: int
    next_cursor: str | None = Field(description="for the next call; null at the end")
    next_offset: int | None = Field(description="the same as an offset, where nothing changes between the calls")


@dataclass(frozen=True)
class Tool:
    """A tool; `run` takes arguments of the one type and returns a result of the other, or how it failed."""

    name: str
    title: str
    description: str
    arguments: type[BaseModel]
    result: type[BaseModel]
    run: Callable[[Any, GatewayDependencies, str, Report], Awaitable[BaseModel | StreamError]]


def make_uri(document_id: str) -> str:
    """Return the name of a document as a resource."""
    return f"pagewire://documents/{document_id}"


async def search(arguments: SearchArguments, gateway: GatewayDependencies, tenant: str, report: Report) -> SearchResult:
    """Find passages."""
    query = QueryRequest(question=arguments.query, document_ids=arguments.document_ids, top_k=arguments.limit)
    await prepare_answer(tenant, query, gateway.answers)  # refuses what a question would be refused for
    found = await gateway.search.search(
        SearchRequest(
            tenant=tenant,
            query=query.question,
            top_k=query.top_k,
            filter=SearchFilter(document_ids=query.document_ids),
        )
    )
    return SearchResult(passages=[FoundPassage(**_place(passage)) for passage in found.passages])


async def ask(
    arguments: AskArguments, gateway: GatewayDependencies, tenant: str, report: Report
) -> AskResult | StreamError:
    """Answer a question. Leaving it ends the run, and with it the provider's answer."""
    query = QueryRequest(question=arguments.question, document_ids=arguments.document_ids)
    run = await start_run(query, gateway, tenant)
    try:
        text, end = await _follow(run, report)
    finally:
        # Shielded: the client's leaving cancels us again and again.
        with anyio.move_on_after(CLEANUP_S, shield=True):
            await gateway.runs.leave(run)
    if isinstance(end, Failed):
        return end.error
    cited = [_make_cited(source, text, end.citations) for source in end.sources if source.cited]
    return AskResult(answer=text.strip(), finish_reason=end.finish_reason, sources=cited)


async def _follow(run: Run, report: Report) -> tuple[str, Finished | Failed]:
    """Return the text of a run and its end; report how it grows."""
    texts: list[str] = []
    clock = asyncio.get_running_loop().time
    due = clock()
    with suppress(LogClosedError):
        async with aclosing(run.log.read(run.stream)) as batches:
            async for batch in batches:
                for event in batch.events:
                    match event:
                        case PassagesFound(passages=passages):
                            await report(0, None, f"{len(passages)} passages found")
                        case Delta(text=text):
                            texts.append(text)
                        case Finished() | Failed():
                            return "".join(texts), event
                if texts and clock() >= due:
                    due = clock() + PROGRESS_S
                    written = sum(map(len, texts))
                    await report(written, None, f"{written} characters written")
    return "".join(texts), make_shutdown_failure(partial=bool(texts))


async def list_documents(
    arguments: ListArguments, gateway: GatewayDependencies, tenant: str, report: Report
) -> ListResult:
    """List the documents."""
    start = find_start(arguments.cursor, arguments.offset)
    page = await gateway.documents.registry.list(tenant, start, arguments.limit)
    return ListResult(
        documents=[_describe(record) for record in page.records],
        total=page.total,
        next_cursor=make_cursor(page.next_place),
        next_offset=page.next_offset,
    )


def _place(passage: Passage | Source) -> dict[str, Any]:
    told = passage.model_dump(include={"document_id", "title", "page", "text", "table_head", "ocr_confidence"})
    return {**told, "score": round(passage.score, 4), "uri": make_uri(passage.document_id)}


def _make_cited(source: Source, answer: str, citations: Sequence[Citation]) -> CitedPassage:
    """Return a cited passage. What is missing is told in words: assistants do not count characters."""
    spans = (span for citation in citations if citation.n == source.n for span in citation.missing)
    missing = list(islice(dict.fromkeys(answer[span.start : span.end] for span in spans), MAX_MISSING))
    supported: Supported = "unknown" if source.supported is None else source.supported
    return CitedPassage(n=source.n, supported=supported, missing=missing, **_place(source))


def _describe(record: DocumentRecord) -> ListedDocument:
    told = record.model_dump(include={"document_id", "title", "filename", "status"})
    return ListedDocument(**told, pages=record.pages_total, uri=make_uri(record.document_id))


TOOLS: Final = {
    tool.name: tool
    for tool in (
        Tool(
            "search",
            "Search the documents",
            "Finds the passages of the user's PDF documents that fit a query, best first, each with its document, page"
            " and text. Use it to read what the documents say, to quote them, or to answer from several passages"
            " yourself. It finds by meaning and by words; ask for one thing at a time.",
            SearchArguments,
            SearchResult,
            search,
        ),
        Tool(
            "ask",
            "Ask the documents",
            "Answers one question from the user's PDF documents, with citations [n] and the passages that they name."
            " Use it where one finished answer is wanted; use search to see more of the text. It knows nothing of this"
            " conversation and says so when the documents do not hold the answer.",
            AskArguments,
            AskResult,
            ask,
        ),
        Tool(
            "list_documents",
            "List the documents",
            "Lists the user's PDF documents, newest first, with id, title, file name, pages and status. Use it to see"
            " what there is, and for the ids with which search and ask can be limited to some documents.",
            ListArguments,
            ListResult,
            list_documents,
        ),
    )
}
