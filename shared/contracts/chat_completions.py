"""Wire contract of `POST /v1/chat/completions`."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from shared.contracts.openai import MAX_MESSAGES, ForcedTools, MessageText, NotSupported, OpenAIRequest, TextFormat
from shared.contracts.questions import QueryTimings, Supported
from shared.contracts.search import Span


def _refuse_several(value: object) -> object:
    if value not in (None, 1):
        raise PydanticCustomError("not_supported", "There is one answer to a question; leave it out, or say 1")
    return value


class ChatMessage(BaseModel):
    """A message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: MessageText | None = None


class StreamOptions(BaseModel):
    """What a stream is to hold."""

    include_usage: bool | None = Field(default=None, description="whether a last chunk with the usage is sent")


class ChatCompletionRequest(OpenAIRequest):
    """A conversation whose last message is the question.

    Earlier messages of the user and the assistant tell the model what the question refers to; those of the system how
    the answer should look. Sampling (`temperature`, `max_tokens`, …) is the server's choice: what is asked for is
    ignored.
    """

    messages: list[ChatMessage] = Field(min_length=1, max_length=MAX_MESSAGES)
    stream_options: StreamOptions | None = None
    n: Annotated[int | None, BeforeValidator(_refuse_several)] = None
    tool_choice: ForcedTools = None
    function_call: ForcedTools = None
    response_format: TextFormat = None
    logprobs: NotSupported = None
    audio: NotSupported = None
    stop: NotSupported = None


class CitationEvidence(BaseModel):
    """Whether the page supports what cites it. OpenAI's annotations have none of this; its clients keep it."""

    supported: Supported
    claim: Span | None = Field(description="what the page is cited for, in the answer; null: was not checked")
    evidence: list[Span] = Field(description="where what was looked up stands in the passage's text (`snippet`)")
    missing: list[Span] = Field(
        description="what stands in none of the passages that the sentence cites, in the answer"
    )


class UrlCitation(CitationEvidence):
    """The page that a marker in the answer cites."""

    start_index: int = Field(description="first character of the marker, counted in code points")
    end_index: int = Field(description="one past its last character")
    title: str
    url: str


class Annotation(BaseModel):
    """A marker in the answer."""

    type: Literal["url_citation"] = "url_citation"
    url_citation: UrlCitation


class SearchResult(BaseModel):
    """A passage that was given to the language model: number n of the answer is the n-th of these."""

    title: str
    url: str = Field(description="the PDF at the page")
    snippet: str
    document_id: str
    page: int
    score: float
    cited: bool
    supported: Supported | None = Field(description="of its citations, as in `POST /query`; null where not cited")
    ocr: bool = Field(default=False, description="as in `POST /query`: recognized in pictures of the page")
    ocr_confidence: float | None = Field(default=None, description="as in `POST /query`, 0..1")


class ChatUsage(BaseModel):
    """Tokens as the provider counted them, 0 where it did not; and who has answered."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    provider: str
    model: str
    cost: float | None = Field(default=None, description="as in POST /query; left out where it is not known")


class AnswerMessage(BaseModel):
    """The answer."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None
    annotations: list[Annotation]


class Choice(BaseModel):
    """The one choice."""

    index: Literal[0] = 0
    message: AnswerMessage
    logprobs: None = None
    finish_reason: Literal["stop", "length", "content_filter"]


class ChatCompletion(BaseModel):
    """The whole answer at once."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: ChatUsage
    citations: list[str] = Field(description="the URLs of `search_results`: number n of the answer is the n-th")
    search_results: list[SearchResult]
    timings_ms: QueryTimings
    cached: bool = Field(description="as in POST /query")
    trace_id: str | None
