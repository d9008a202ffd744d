"""Wire contract of questions: `POST /query` and the events of `POST /query/stream`."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from shared.contracts.search import MAX_QUESTION_CHARS, MAX_TOP_K, DocumentId, Span

NOT_FOUND_ANSWER = "I couldn't find that in the documents."
"""What every provider says when the passages do not hold the answer."""


FinishReason = Literal["stop", "length", "filtered", "stopped", "other"]
"""How an answer ended: by itself; at the limit of output tokens; by the provider's filter; by a request to stop; in
another way."""

_ToldFinishReason = Annotated[
    FinishReason,
    Field(
        description=(
            "`stop`: the answer is complete; `length`: cut off at the limit of output tokens; `filtered`: cut off by"
            " the provider's filter; `stopped`: cut off by DELETE /runs/{run_id}; `other`: ended for another reason,"
            " perhaps before it was complete"
        )
    ),
]


def _refuse_bool(value: object) -> object:
    """Python takes true for 1."""
    if isinstance(value, bool):
        raise PydanticCustomError("int_type", "Input should be a valid integer")
    return value


def _refuse_collection(value: object) -> object:
    """Ignored, it would let the answer come from documents that the caller did not mean."""
    if value is not None:
        raise PydanticCustomError(
            "no_collections", "There are no collections yet; leave it out, or name documents in document_ids"
        )
    return value


class AnswerOptions(BaseModel):
    """What can be chosen for an answer, in every dialect."""

    top_k: Annotated[int, BeforeValidator(_refuse_bool)] = Field(
        default=5, ge=1, le=MAX_TOP_K, description="how many passages the answer may rest on"
    )
    document_ids: list[DocumentId] | None = Field(default=None, max_length=1000, description="search only these")
    unsupported_citations: Literal["keep", "remove"] | None = Field(
        default=None,
        description=(
            "what becomes of a citation whose passage does not hold the figures, names or quotes of its sentence:"
            " `keep` marks it in `citations`, `remove` takes it out of the answer; null: as the server is set"
        ),
    )
    on_disconnect: Literal["cancel", "continue"] = Field(
        default="cancel",
        description=(
            "what becomes of the answer when the client leaves: `cancel` ends it; `continue` lets it go on, to be read"
            " with GET /runs/{run_id}/events until ten minutes after its end"
        ),
    )
    cache: bool = Field(
        default=True,
        description=(
            "whether an answer that was given to just this question before may be given again, and this one be kept;"
            " `false`: it is written anew, and not kept"
        ),
    )
    collection: Annotated[None, BeforeValidator(_refuse_collection)] = Field(
        default=None, description="there are no collections yet; null or left out"
    )


ConversationId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}$")]
"""What names a conversation: chosen by the client. It may stand in a path, so it does not begin with a dot."""

_ToldConversation = Annotated[str | None, Field(description="the conversation that it belongs to; null: to none")]
_ToldStandalone = Annotated[
    str | None,
    Field(description="what was searched for, where the question refers to earlier ones; null: the question itself"),
]


class QueryRequest(AnswerOptions):
    """A question about the caller's documents."""

    question: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_QUESTION_CHARS)]
    conversation_id: ConversationId | None = Field(
        default=None,
        description=(
            "the conversation that the question goes on with, by a name that you choose: 1 to 128 letters, digits, `_`,"
            " `-` and, but for the first, `.`; an unknown one begins a conversation; null: none"
        ),
    )
    include: list[Literal["run", "passages"]] = Field(
        default_factory=list,
        max_length=16,
        description="`passages`: send the passages before the first token; `run`: send the run's id before all else",
    )
    provider: str | None = Field(
        default=None, max_length=64, description="one of the configured providers; null: the default"
    )


Supported = Literal[True, False, "unknown"]
"""Whether a passage holds the figures, dates, names and quotes of what cites it; unknown where that cannot be told."""


class Citation(BaseModel):
    """A place where the answer cites a passage."""

    n: int = Field(ge=1, description="the passage's number")
    start: int = Field(ge=0, description="first character of the marker in the answer, counted in code points")
    end: int = Field(ge=0, description="one past its last character")
    claim: Span | None = Field(default=None, description="what it is cited for, in the answer; null: was not checked")
    supported: Supported = Field(
        default="unknown",
        description=(
            "`true`: figures, dates, names, codes and quotes of the claim stand in the passages that its sentence"
            " cites, at least one of them in this one; `false`: one of them stands in none of these; `unknown`: there"
            " is nothing to look up, or it cannot be told"
        ),
    )
    evidence: list[Span] = Field(default_factory=list, description="where they stand in the passage's text")
    missing: list[Span] = Field(default_factory=list, description="those that stand in none, in the answer")


class Source(BaseModel):
    """A passage that was given to the language model."""

    n: int = Field(ge=1, description="the number that the answer cites as [n]")
    chunk_id: int
    document_id: str
    title: str
    page: int = Field(ge=1)
    text: str
    table_head: str = Field(
        default="", description="where the text is a later part of a table: the heads of its columns, from above it"
    )
    best_sentence: Span | None = Field(
        default=None,
        description="the sentence of `text` that has most of the question's words; null where none has any",
    )
    score: float
    cited: bool = Field(description="whether the answer cites it")
    supported: Supported | None = Field(
        default=None,
        description="of its `citations`: false if one is, else true if one is, else unknown; null where not cited",
    )
    ocr: bool = Field(
        default=False,
        description="whether some of it was recognized in pictures of the page (OCR), and may be misread",
    )
    ocr_confidence: float | None = Field(
        default=None, description="how sure the recognition is, 0..1, on average over the page; null where not `ocr`"
    )


class Usage(BaseModel):
    """Tokens as the provider counted them; null where it did not say. An answer given again has cost none.

    Those of the short call that makes a follow-up a question of its own count, too.
    """

    provider: str
    model: str
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = Field(
        default=None,
        description=(
            "of these tokens by PAGEWIRE_LLM_PRICES, in the currency of those; null where there is no price or no count"
        ),
    )


class QueryTimings(BaseModel):
    """Milliseconds; null for what has not happened (reranking is off, a stop came, the answer was given again)."""

    rewrite: float | None = Field(
        default=None, description="for making a follow-up a question that stands by itself; null: there was nothing to"
    )
    retrieval: float | None = Field(default=None, description="the search as a whole, as the retrieval measured it")
    embed: float | None = Field(default=None, description="of it: to make a vector of the question")
    search: float | None = Field(default=None, description="of it: to find candidates and fuse them")
    rerank: float | None = Field(default=None, description="of it: to rerank them")
    first_token: float | None = Field(default=None, description="from the arrival of the question")
    total: float = Field(description="from the arrival of the question")


_Cached = Annotated[
    bool, Field(description="whether this is an answer given again: nothing was searched, and no model was asked")
]
_TraceId = Annotated[
    str | None, Field(description="of the trace that the question came with in `traceparent`, or a new one")
]


class QueryResponse(BaseModel):
    """The whole answer at once."""

    answer: str
    finish_reason: _ToldFinishReason = "stop"
    sources: list[Source]
    citations: list[Citation] = Field(default_factory=list, description="in the order of the answer")
    run_id: str
    conversation_id: _ToldConversation = None
    standalone_question: _ToldStandalone = None
    usage: Usage
    timings_ms: QueryTimings
    cached: _Cached = False
    trace_id: _TraceId = None


class RunStartedEvent(BaseModel):
    """`event: run`, before all others, when asked for."""

    run_id: str
    resumable: bool = Field(description="whether GET /runs/{run_id}/events can go on where this stream breaks off")
    conversation_id: _ToldConversation = None


class TokenEvent(BaseModel):
    """`event: token`."""

    token: str


class PassagesEvent(BaseModel):
    """`event: passages`, before the first token, when asked for."""

    passages: list[Source]


class SourcesEvent(BaseModel):
    """`event: sources`, the last event of a stream that went well."""

    sources: list[Source]
    citations: list[Citation] = Field(
        default_factory=list, description="in the order of the answer, which is all tokens joined"
    )
    run_id: str
    conversation_id: _ToldConversation = None
    standalone_question: _ToldStandalone = None
    finish_reason: _ToldFinishReason = "stop"
    usage: Usage
    timings_ms: QueryTimings
    cached: _Cached = False
    trace_id: _TraceId = None


class StreamError(BaseModel):
    """The body of `event: error`."""

    code: str
    message: str
    retryable: bool
    partial: bool = Field(description="whether tokens were sent before the error")
    retry_after: int | None = Field(default=None, description="seconds to wait, where we know them; else left out")
    trace_id: str | None = Field(default=None, description="of the question's trace, where it is known; else left out")


class ErrorEvent(BaseModel):
    """`event: error`, the last event of a stream that went wrong."""

    error: StreamError
