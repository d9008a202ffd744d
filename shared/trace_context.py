"""The trace that a request belongs to, as W3C Trace Context names it in the header `traceparent`.

One that comes is gone on with, else a new one begins. Its id stands in logs, in answers and errors, and goes to the
next of our services. It goes to nobody else: a provider has no use for it.
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

TRACEPARENT: Final = "traceparent"
# Version 00 has nothing behind the flags; later ones may, and ff is none.
_FORM: Final = re.compile(rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?")
_SAMPLED: Final = 1


@dataclass(frozen=True)
class Trace:
    """A trace: its id, 32 hexadecimal digits, and whether whoever began it records it."""

    trace_id: str
    sampled: bool


_current: ContextVar[Trace | None] = ContextVar("trace", default=None)


def read_traceparent(header: bytes) -> Trace | None:
    """Return the trace of a header; None when it is none."""
    found = _FORM.fullmatch(header.strip(b" \t"))
    if found is None or (found[1] == b"00" and found[4]):
        return None
    return Trace(found[2].decode(), bool(int(found[3], 16) & _SAMPLED))


@contextmanager
def enter_trace(header: bytes) -> Iterator[str]:
    """Make the trace of a header, or a new one, that of all that is done inside, also by tasks begun there."""
    trace = read_traceparent(header) or Trace(secrets.token_hex(16), sampled=False)
    token = _current.set(trace)
    try:
        yield trace.trace_id
    finally:
        _current.reset(token)


def read_trace_id() -> str | None:
    """Return the id of the trace at work now; None outside of any."""
    trace = _current.get()
    return trace.trace_id if trace else None


def make_trace_headers() -> dict[str, str]:
    """Return the header that names the trace to the next service; empty outside of any."""
    trace = _current.get()
    if trace is None:
        return {}
    # The id of what calls: without a recorder of our own it names nothing, but must be there and be another each time.
    caller = f"{secrets.randbits(64) or 1:016x}"
    return {TRACEPARENT: f"00-{trace.trace_id}-{caller}-{trace.sampled:02x}"}
