"""Sources as OpenAI's dialects tell them: links to pages, citations, search results, errors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.gateway.runs.dialects.page_links import make_page_url
from shared.contracts.openai import SourcesAs
from shared.contracts.questions import Source, StreamError, Usage
from shared.contracts.runs import Finished

_ERROR_TYPES: Final = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


@dataclass(frozen=True)
class AnswerHead:
    """What all parts of an answer say alike.

    Attributes:
        created: seconds since 1970.
        model: the name that was asked for.
        base_url: where links lead, without a slash at its end.
    """

    run_id: str
    created: int
    model: str
    base_url: str
    sources_as: SourcesAs = "annotations"


def make_title(source: Source) -> str:
    """Return the name of a passage's page."""
    return f"{source.title}, page {source.page}"


def list_citations(finished: Finished, base_url: str) -> Iterator[dict[str, Any]]:
    """Yield for each marker in the answer, in order, the page that it cites, and whether that supports it.

    What OpenAI's annotations do not have comes last, under the names of the native dialect.
    """
    for citation in finished.citations:
        source = finished.sources[citation.n - 1]
        yield {
            "start_index": citation.start,
            "end_index": citation.end,
            "title": make_title(source),
            "url": make_page_url(source, base_url),
            **citation.model_dump(mode="json", include={"supported", "claim", "evidence", "missing"}),
        }


def list_sources(sources: Sequence[Source], base_url: str) -> dict[str, Any]:
    """Return all sources in the order of their numbers, as Perplexity's clients read them."""
    results = [
        {
            "title": make_title(source),
            "url": make_page_url(source, base_url),
            "snippet": source.text,
            "document_id": source.document_id,
            "page": source.page,
            "score": source.score,
            "cited": source.cited,
            "supported": source.supported,
            "ocr": source.ocr,
            "ocr_confidence": source.ocr_confidence,
        }
        for source in sources
    ]
    return {"citations": [result["url"] for result in results], "search_results": results}


def make_footer(sources: Sequence[Source], base_url: str) -> str:
    """Return the cited sources as Markdown that goes behind the answer; empty when it cites none."""
    # A title comes from a PDF: what could end the link's text early is escaped.
    lines = [
        f"[{source.n}] [{_escape(make_title(source))}]({make_page_url(source, base_url)})"
        + (" (not supported)" if source.supported is False else "")
        for source in sources
        if source.cited
    ]
    return "\n\n---\n" + "  \n".join(lines) if lines else ""


def list_open_webui_sources(sources: Sequence[Source], base_url: str) -> Iterator[dict[str, Any]]:
    """Yield each source as Open WebUI keeps it: `[n]` in the answer is the n-th, if each has an id of its own."""
    for source in sources:
        url, title = make_page_url(source, base_url), make_title(source)
        metadata = {
            "source": f"{source.document_id}/{source.chunk_id}",
            "source_url": url,
            "name": title,
            "page": source.page,
            "supported": source.supported,
        }
        yield {
            "source": {"name": title, "url": url},
            "document": [source.text],
            "metadata": [metadata],
            "distances": [source.score],
        }


def describe_run(finished: Finished) -> dict[str, Any]:
    """Return what our own dialect tells of an answer beside its text and sources."""
    return finished.model_dump(mode="json", include={"standalone_question", "timings_ms", "cached", "trace_id"})


def make_usage_notes(usage: Usage) -> dict[str, Any]:
    """Return what OpenAI's counts of tokens have no place for: who has answered, and the cost if that is known."""
    return usage.model_dump(include={"provider", "model"} | ({"cost"} if usage.cost is not None else set()))


def make_error(error: StreamError, status: int) -> dict[str, Any]:
    """Return an error inside a stream; what OpenAI's does not have comes last."""
    named = {"message": error.message, "type": name_error_type(status), "param": None, "code": error.code}
    return named | error.model_dump(include={"retryable", "partial", "retry_after", "trace_id"}, exclude_none=True)


def name_error_type(status: int) -> str:
    """Return OpenAI's word for the kind of an error."""
    return _ERROR_TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")


def _escape(text: str) -> str:
    return "".join(f"\\{char}" if char in "\\[]`*_<>&!#|" else char for char in " ".join(text.split()))
