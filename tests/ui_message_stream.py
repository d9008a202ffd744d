"""The client's side of the AI SDK's UI message stream: its strict schema, and how its client builds a message.

Written from the SDK's documentation (AI SDK UI, "Stream Protocols") and the chunks that it lists. Like the SDK's zod
schema, which is made of strict objects, this one refuses a part with any key that it does not know. It knows what all
releases since 5.0 know; tools and reasoning, which Pagewire has not, are left out.
"""

import json
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import httpx
from httpx_sse import EventSource, ServerSentEvent

HEADER = "x-vercel-ai-ui-message-stream"


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_anything(value: Any) -> bool:
    return True


def is_metadata(value: Any) -> bool:
    """An object of objects, by the name of the provider."""
    return isinstance(value, dict) and all(isinstance(inner, dict) for inner in value.values())


Check = Callable[[Any], bool]
_PROVIDER: dict[str, Check] = {"providerMetadata": is_metadata}
SCHEMA: dict[str, tuple[dict[str, Check], dict[str, Check]]] = {
    # type: (keys that must be there, keys that may be there)
    "start": ({}, {"messageId": is_text, "messageMetadata": is_anything}),
    "start-step": ({}, {}),
    "text-start": ({"id": is_text}, _PROVIDER),
    "text-delta": ({"id": is_text, "delta": is_text}, _PROVIDER),
    "text-end": ({"id": is_text}, _PROVIDER),
    "source-url": ({"sourceId": is_text, "url": is_text}, {"title": is_text, **_PROVIDER}),
    "source-document": (
        {"sourceId": is_text, "mediaType": is_text, "title": is_text},
        {"filename": is_text, **_PROVIDER},
    ),
    "file": ({"url": is_text, "mediaType": is_text}, _PROVIDER),
    "data-*": ({"data": is_anything}, {"id": is_text, "transient": lambda value: isinstance(value, bool)}),
    "message-metadata": ({"messageMetadata": is_anything}, {}),
    "finish-step": ({}, {}),
    "finish": ({}, {"messageMetadata": is_anything}),
    "abort": ({}, {}),
    "error": ({"errorText": is_text}, {}),
}


class InvalidStreamError(AssertionError):
    """What the SDK's client would break off at."""


def check_part(part: Any) -> None:
    """Raise InvalidStreamError for what the strict schema refuses."""
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str):
        raise InvalidStreamError(f"no part: {part!r}")
    name = "data-*" if kind.startswith("data-") else kind
    if name not in SCHEMA:
        raise InvalidStreamError(f"unknown type: {part!r}")
    required, optional = SCHEMA[name]
    keys = part.keys() - {"type"}
    if missing := required.keys() - keys:
        raise InvalidStreamError(f"{kind} lacks {missing}")
    if unknown := keys - required.keys() - optional.keys():
        raise InvalidStreamError(f"{kind} has unknown keys {unknown}")
    for key, check in {**required, **optional}.items():
        if key in keys and not check(part[key]):
            raise InvalidStreamError(f"{kind}.{key} is {part[key]!r}")


@dataclass
class Message:
    """A message as `useChat` holds it. It outlives connections; `begin_connection` is what a resume begins with."""

    id: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    parts: list[dict[str, Any]] = field(default_factory=list)
    transient: list[dict[str, Any]] = field(default_factory=list)
    error: str | None = None
    ends: list[str] = field(default_factory=list)
    """The types of the parts that end a message: finish, abort, error."""
    done: bool = False
    last_event_id: str = ""
    _texts: dict[str, dict[str, Any]] = field(default_factory=dict)

    def begin_connection(self) -> None:
        """Forget what the client keeps for a connection only: which text parts are open."""
        self._texts.clear()
        self.ends.clear()
        self.done, self.error = False, None

    @property
    def text(self) -> str:
        """Return the text parts, joined."""
        joined = "".join(part["text"] for part in self.parts if part["type"] == "text")
        return joined.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")  # as JavaScript joins halves

    @property
    def sources(self) -> list[dict[str, Any]]:
        """Return the sources."""
        return [part for part in self.parts if part["type"] == "source-document"]

    def read(self, event: ServerSentEvent) -> None:
        """Take one event of the stream; raise InvalidStreamError where the client would break off."""
        if self.done:
            raise InvalidStreamError(f"behind [DONE]: {event.data}")
        self.last_event_id = event.id
        if event.data == "[DONE]":
            self.done = True
            return
        part = json.loads(event.data)
        check_part(part)
        if self.ends:
            raise InvalidStreamError(f"behind the end: {part}")
        self._apply(part)

    def read_all(self, events: Iterable[ServerSentEvent]) -> None:
        """Take the events of a whole stream, which has exactly one end and says that it is done."""
        for event in events:
            if event.data:
                self.read(event)
        if not self.done or len(self.ends) != 1:
            raise InvalidStreamError(f"the stream has no end: {self.ends}")

    def _apply(self, part: dict[str, Any]) -> None:
        match part["type"]:
            case "start":
                self.id = part.get("messageId", self.id)
                self.metadata |= part.get("messageMetadata") or {}
            case "message-metadata":
                self.metadata |= part["messageMetadata"]
            case "text-start":
                self._texts[part["id"]] = {"type": "text", "text": ""}
                self.parts.append(self._texts[part["id"]])
            case "text-delta":
                if part["id"] not in self._texts:
                    raise InvalidStreamError("a text-delta without its text-start")
                self._texts[part["id"]]["text"] += part["delta"]
            case "text-end":
                if self._texts.pop(part["id"], None) is None:
                    raise InvalidStreamError("a text-end without its text-start")
            case "finish-step" | "start-step":
                self._texts.clear()
            case "finish" | "abort" | "error" as end:
                self.ends.append(end)
                self.error = part.get("errorText")
                if end == "finish":
                    self.metadata |= part.get("messageMetadata") or {}
            case _ if part.get("transient"):
                self.transient.append(part)
            case _:
                self.parts.append(part)


async def read_events(response: httpx.Response) -> AsyncIterator[ServerSentEvent]:
    """Return the events of a response as they arrive, without heartbeats."""
    async for event in EventSource(response).aiter_sse():
        if event.data:
            yield event
