"""Wire contract of `POST /v1/responses`."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from shared.contracts.chat_completions import CitationEvidence, SearchResult
from shared.contracts.openai import MAX_MESSAGES, ForcedTools, MessageText, NotSupported, OpenAIRequest, TextFormat
from shared.contracts.questions import QueryTimings


def _refuse_stored(value: object) -> None:
    if value:
        raise PydanticCustomError("not_supported", "Answers are not kept; send the earlier messages in input")


def _read_input(value: object) -> object:
    """A text is the user's message; of items, thoughts are left out, and what tools have to do with is refused."""
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if not isinstance(value, list):
        return value
    kinds = [item.get("type", "message") if isinstance(item, dict) else "message" for item in value]
    if other := [ascii(kind)[:64] for kind in kinds if kind not in ("message", "reasoning")]:
        raise PydanticCustomError("messages_only", "Only messages can be read, not {kind}", {"kind": min(other)})
    return [item for item, kind in zip(value, kinds, strict=True) if kind == "message"]


Stored = Annotated[None, BeforeValidator(_refuse_stored, json_schema_input_type=None)]


class InputMessage(BaseModel):
    """A message of the conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: MessageText


class TextOptions(BaseModel):
    """What the text is to be."""

    format: TextFormat = None


class ResponsesRequest(OpenAIRequest):
    """A question, or a conversation whose last message is the question; else as in chat completions."""

    input: Annotated[
        list[InputMessage], BeforeValidator(_read_input, json_schema_input_type=str | list[InputMessage])
    ] = Field(min_length=1, max_length=MAX_MESSAGES)
    instructions: str | None = Field(default=None, description="how the answer should look, as messages of the system")
    previous_response_id: Stored = None
    conversation: Stored = None
    prompt: NotSupported = None
    background: NotSupported = None
    top_logprobs: NotSupported = None
    tool_choice: ForcedTools = None
    text: TextOptions | None = None


class ResponseUrlCitation(CitationEvidence):
    """The page that a marker in the answer cites."""

    type: Literal["url_citation"] = "url_citation"
    start_index: int = Field(description="first character of the marker, counted in code points")
    end_index: int = Field(description="one past its last character")
    title: str
    url: str


class OutputText(BaseModel):
    """The answer."""

    type: Literal["output_text"] = "output_text"
    text: str
    annotations: list[ResponseUrlCitation]
    logprobs: list[Any] = Field(default=[], description="always empty")


class OutputMessage(BaseModel):
    """The one item of the output."""

    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    status: Literal["in_progress", "completed", "incomplete"]
    content: list[OutputText]


class ResponseUsage(BaseModel):
    """Tokens as the provider counted them, 0 where it did not; and who has answered."""

    input_tokens: int
    input_tokens_details: dict[str, int]
    output_tokens: int
    output_tokens_details: dict[str, int]
    total_tokens: int
    provider: str
    model: str
    cost: float | None = Field(default=None, description="as in POST /query; left out where it is not known")


class ResponseObject(BaseModel):
    """The answer; fields of OpenAI's that are always the same here are left out of this description."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    incomplete_details: dict[str, Literal["max_output_tokens", "content_filter"] | None] | None
    error: dict[str, Any] | None
    model: str
    output: list[OutputMessage]
    usage: ResponseUsage | None
    citations: list[str] = Field(description="the URLs of `search_results`: number n of the answer is the n-th")
    search_results: list[SearchResult]
    timings_ms: QueryTimings | None = None
    cached: bool = Field(default=False, description="as in POST /query")
    trace_id: str | None = None
