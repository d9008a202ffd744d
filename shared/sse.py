"""Reads Server-Sent Events as the WHATWG standard says: bytes to lines, lines to events.

`str.splitlines` and the line readers of HTTP clients are no help here: they also break lines at U+2028, form
feeds and the like, which may stand unescaped inside JSON data. Only LF, CR and CRLF end a line of a stream.

An asynchronous reader feeds a `LineSplitter` and an `EventBuilder` itself; `read_events` is for synchronous ones.
"""

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

DEFAULT_EVENT = "message"
"""The name of an event that gives none."""

_LINE_END = re.compile("\r\n|\n|\r")
_BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `id` is the last id that the stream gave, which is what a resuming client sends back."""

    event: str
    data: str
    id: str = ""


class LineSplitter:
    """Cuts bytes that arrive in any portions into lines; a line that has no end yet waits for the rest."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._unfinished: list[str] = []
        self._after_cr = False
        self._at_start = True

    def feed(self, chunk: bytes) -> list[str]:
        """The lines that this portion completes, without their ends."""
        text = self._drop_mark(self._decoder.decode(chunk))
        if self._after_cr and text:
            # The line ended with the CR already: an LF right behind it belongs to that end. Waiting for it
            # instead would hold back an event until the next one.
            text = text.removeprefix("\n")
            self._after_cr = False
        if not text:
            return []
        self._after_cr = text.endswith("\r")
        first, *rest = _LINE_END.split(text)
        self._unfinished.append(first)
        if not rest:
            return []
        lines = ["".join(self._unfinished), *rest[:-1]]
        self._unfinished = [rest[-1]]
        return lines

    def _drop_mark(self, text: str) -> str:
        if self._at_start and text:
            self._at_start = False
            return text.removeprefix(_BYTE_ORDER_MARK)
        return text


class EventBuilder:
    """Collects lines until a blank one completes an event."""

    def __init__(self) -> None:
        self._event = ""
        self._data: list[str] = []
        self._id = ""

    def add(self, line: str) -> Event | None:
        """The event that this line completes, if it does; comments and unknown fields are skipped."""
        if not line:
            return self._complete()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
        elif field == "event":
            self._event = value
        elif field == "id" and "\0" not in value:
            self._id = value
        return None

    def _complete(self) -> Event | None:
        name, data = self._event or DEFAULT_EVENT, self._data
        self._event, self._data = "", []
        return Event(name, "\n".join(data), self._id) if data else None


def split_lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Lines of a stream of bytes; what stands behind the last line end is not a line and is dropped."""
    splitter = LineSplitter()
    for chunk in chunks:
        yield from splitter.feed(chunk)


def parse_events(lines: Iterable[str]) -> Iterator[Event]:
    """Events of lines without their ends; an event that no blank line completes is dropped."""
    builder = EventBuilder()
    for line in lines:
        if (event := builder.add(line)) is not None:
            yield event


def read_events(chunks: Iterable[bytes]) -> Iterator[Event]:
    """Events of a stream of bytes, each as soon as its blank line has arrived."""
    return parse_events(split_lines(chunks))
