"""Wire contract of what OpenAI's dialects share: model names, errors, texts of messages, and our own fields."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from shared.contracts.questions import AnswerOptions

DEFAULT_MODEL = "pagewire"
"""The provider that answers by default; `pagewire/NAME` is the provider NAME."""

MAX_MESSAGES = 1000
MAX_INSTRUCTIONS_CHARS = 8000

SourcesAs = Literal["annotations", "markdown", "open_webui"]
"""How sources are told: as `url_citation` annotations; as a list of links at the end of the text, for front ends that
show nothing else; as the events that Open WebUI makes its sources of, numbered as the answer cites them."""

_TEXT_PARTS = frozenset({"text", "input_text", "output_text"})


class OpenAIRequest(AnswerOptions):
    """What both dialects take beside the conversation. Fields that are not named here are ignored."""

    model: str = Field(
        default=DEFAULT_MODEL, max_length=200, description="an id from GET /v1/models; left out: the default"
    )
    stream: bool | None = Field(default=None, description="whether the answer comes as Server-Sent Events")
    sources_as: SourcesAs = Field(
        default="annotations",
        description=(
            "how sources are told beside `citations` and `search_results`: `annotations`; `markdown`: links at the end"
            " of the text; `open_webui`: as its own source events (in streams of chat completions)"
        ),
    )


def refuse_if_set(value: object) -> None:
    """Ignored, it would let a client take an answer for something that it is not."""
    if value:
        raise PydanticCustomError(
            "not_supported", "This is not supported, and the answer would be another; leave it out"
        )


def refuse_forced_tools(value: object) -> None:
    """Tools that may be called need not be; those that must be cannot."""
    if value not in (None, "auto", "none"):
        raise PydanticCustomError("not_supported", "No tool can be called here; leave it out, or say auto or none")


def refuse_other_formats(value: object) -> None:
    """Answers are text; what parses them as JSON would fail later and elsewhere."""
    kind = value.get("type") if isinstance(value, dict) else value
    if kind not in (None, "text"):
        raise PydanticCustomError("not_supported", "Answers are text only; leave it out, or choose the type text")


def join_text_parts(value: object) -> object:
    """Return the text of a message, which comes as it is or in parts. Pictures, sounds and files are refused."""
    if not isinstance(value, list):
        return value
    texts = []
    for part in value:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "refusal":
            continue
        if not (isinstance(kind, str) and kind in _TEXT_PARTS and isinstance(part.get("text"), str)):
            raise PydanticCustomError("text_only", "Only parts with text can be read; leave pictures, sounds and files")
        texts.append(part["text"])
    return "\n".join(texts)


class TextPart(BaseModel):
    """A part of a message."""

    type: Literal["text", "input_text", "output_text"]
    text: str


class PlainText(BaseModel):
    """The one format of answers."""

    type: Literal["text"]


MessageText = Annotated[str, BeforeValidator(join_text_parts, json_schema_input_type=str | list[TextPart])]
"""The text of a message, as a string or in parts."""

NotSupported = Annotated[None, BeforeValidator(refuse_if_set, json_schema_input_type=Literal[False] | None)]
ForcedTools = Annotated[
    None, BeforeValidator(refuse_forced_tools, json_schema_input_type=Literal["auto", "none"] | None)
]
TextFormat = Annotated[None, BeforeValidator(refuse_other_formats, json_schema_input_type=PlainText | None)]


class OpenAIError(BaseModel):
    """What went wrong, as OpenAI's clients read it, and after `code` what ours adds."""

    message: str
    type: str = Field(description="invalid_request_error, permission_error, server_error")
    param: str | None = Field(default=None, description="the field at fault")
    code: str | None = Field(description="as in our own errors")
    details: dict[str, Any] | None = None
    request_id: str
    trace_id: str | None = None


class OpenAIErrorBody(BaseModel):
    """The body of every answer below `/v1/` with a status of 400 or more."""

    error: OpenAIError


class Model(BaseModel):
    """A name that can be asked for as `model`."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(description="seconds since 1970; the same for all, and always")
    owned_by: str = Field(description="the provider that answers, or `pagewire` for the default")


class ModelList(BaseModel):
    """All names."""

    object: Literal["list"] = "list"
    data: list[Model]
