"""Splits the bytes of a Server-Sent-Events stream into the data of its events, in bounded memory."""

import codecs
from collections.abc import Iterator

from services.gateway.providers.llm_errors import UnreadableEvent

MAX_EVENT_BYTES = 1024 * 1024
"""The largest event of a provider is some 100 kB (a whole answer in one piece); more is a fault or an attack."""


class EventReader:
    """Reads `data:` fields; comments and all other fields are skipped, because every provider repeats them in data.

    Works on bytes, because a piece of the network can end inside a character, and because `str.splitlines`, which
    the HTTP libraries use, also splits at characters such as U+2028 that may stand raw inside JSON. Lines end with
    LF or CRLF.
    """

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._rest = b""
        self._at_start = True
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the data of each event that `chunk` completes; use it up before the next call.

        Raises:
            UnreadableEvent: an event or a line is larger than the limit.
        """
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        if self._at_start and lines:
            self._at_start = False
            lines[0] = lines[0].removeprefix(codecs.BOM_UTF8)
        for line in lines:
            if line.startswith(b"data:"):
                self._size += len(line)
                if self._size > self._max_event_bytes:
                    raise UnreadableEvent("event too large")
                self._data.append(line[5:].strip())
            elif self._data and line in (b"", b"\r"):
                data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
                self._data.clear()
                self._size = 0
                yield data
        if len(self._rest) > self._max_event_bytes:
            raise UnreadableEvent("line too large")
