"""The events of a run, as its log holds them: `started, passages, delta…`, then `finished` or `failed`.

Each client gets them in its own dialect (`services/gateway/runs/dialects/`); replicas of the gateway read them from
each other as they are here.
"""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field

from shared.contracts.questions import Citation, FinishReason, QueryTimings, Source, StreamError, Usage


class Started(BaseModel):
    """The first event; what comes after it can fail, but not with an HTTP status any more."""

    run_id: str
    resumable: bool = Field(description="whether the run can be read again, at any replica, until ten minutes after")
    conversation_id: str | None = None


class PassagesFound(BaseModel):
    """What was found, and the language model is given; none is cited yet."""

    passages: list[Source]


@dataclass(slots=True)
class Delta:
    """A piece of the answer; never empty. No pydantic model, and not frozen: there is one for each token."""

    text: str


class Finished(BaseModel):
    """The end of a run that went well."""

    sources: list[Source]
    citations: list[Citation] = []
    finish_reason: FinishReason
    conversation_id: str | None = None
    standalone_question: str | None = None
    usage: Usage
    timings_ms: QueryTimings
    cached: bool = Field(default=False, description="whether it was given before, and is given again")
    trace_id: str | None = None


class Failed(BaseModel):
    """The end of a run that went wrong."""

    error: StreamError
    status: int = Field(description="the HTTP status where the answer is not a stream")
    details: dict[str, Any] | None = None


RunEvent = Started | PassagesFound | Delta | Finished | Failed

_MODELS: dict[str, type[Started | PassagesFound | Finished | Failed]] = {
    "started": Started,
    "passages": PassagesFound,
    "finished": Finished,
    "failed": Failed,
}
_NAMES = {model: name for name, model in _MODELS.items()}


def dump_run_event(event: RunEvent) -> tuple[str, Any]:
    """Return an event's name and JSON value."""
    if isinstance(event, Delta):
        return "delta", event.text
    return _NAMES[type(event)], event.model_dump(mode="json")


def load_run_event(name: str, data: Any) -> RunEvent:
    """Return the event of a name and a JSON value."""
    return Delta(data) if name == "delta" else _MODELS[name].model_validate(data)
