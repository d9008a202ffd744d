"""Lets a model's text through as it streams, without citation markers that name no passage.

What a marker is stands in `citation_markers.py`. Markers count in prose only; code and mathematics pass unchanged
(`markdown_prose.py`).
"""

import re
from collections.abc import Iterable
from itertools import groupby

from services.gateway.answers.citation_markers import (
    CLOSERS,
    MAX_MARKER_CHARS,
    Host,
    Marker,
    Verdict,
    find_host,
    judge,
    keep_items,
    may_become_marker,
    name_passages,
    read_marker,
)
from services.gateway.answers.claims import PlacedMarker
from services.gateway.answers.markdown_prose import STOP_SETS, STOPS, MarkdownProse, Mode

MAX_HELD_CHARS = 2 * MAX_MARKER_CHARS + 8
"""The most that is ever held back: a bracket, the one that follows it, and what joins them."""

_MAX_PLAIN_CHARS = 64
_LEAD = re.compile(r"[ \t]?\(?\Z")
_JOINT = re.compile(r"[ \t]?[,;、，；&]?[ \t]?|[-–—]")
_LEADS = frozenset(" \t(")
_BLANKS = frozenset(" \t")
_CLOSES_UP = frozenset(" \t\n.,;:!?)]}»”’…*_")
_OPENERS = frozenset(CLOSERS)


def group_places(places: Iterable[tuple[int, int, int]]) -> list[PlacedMarker]:
    """Return the markers of a filter's places: one for all passages that a marker names."""
    return [
        PlacedMarker(start, end, tuple(n for n, _, _ in group))
        for (start, end), group in groupby(places, key=lambda place: place[1:])
    ]


class CitationFilter:
    """Removes the markers that name no passage, whatever the pieces in which the text arrives.

    In a list the valid numbers stay: `[1, 9]` becomes `[1]` where there are three passages. With a marker goes what
    joined it to others, and a blank that would stand alone. All other characters pass, in order. At most MAX_HELD_CHARS
    wait: a bracket that may become a marker, with the character behind it, and a blank or parenthesis that may stand
    before one.

    Parameters:
        passage_count: the markers 1..passage_count are valid.

    Attributes:
        cited: the passages named by the markers that were let through. Complete after `finish`.
        places: passage, first character and one past the last of each marker in the text that was sent; but for those
            that count only since what looked like code has turned out to be prose.
    """

    def __init__(self, passage_count: int) -> None:
        self.cited: set[int] = set()
        self.places: list[tuple[int, int, int]] = []
        self._sent_chars = 0
        self._count = passage_count
        self._prose = MarkdownProse()
        self._held = ""
        self._idle = True
        self._holds_lead = False
        self._stops = STOP_SETS[Mode.PROSE]
        self._read_plain = self._prose.read_plain
        # Of the marker that ends where reading goes on: what it was attached to; None where there is no such marker.
        self._marker_host: Host | None = None
        # What stood before a marker that was removed and waits for what comes next; None where nothing was.
        self._gap: str | None = None

    def feed(self, text: str) -> str:
        """Return what can be sent on now."""
        if self._idle and 0 < len(text) <= _MAX_PLAIN_CHARS and text[-1] not in _LEADS and self._stops.isdisjoint(text):
            # Nearly every token comes here: nothing in it can begin or end anything.
            self._sent_chars += len(text)
            self._read_plain(text)
            return text
        if (self._idle or self._holds_lead) and (parts := self._split_lead(text)):
            body = self._held + parts[0]
            self._held = parts[1]
            self._holds_lead = parts[1] != ""
            self._idle = not self._holds_lead
            self._sent_chars += len(body)
            self._read_plain(body)
            return body
        return self._scan(self._held + text, final=False)

    def finish(self) -> str:
        """Return what is still held back when the text has ended."""
        rest = self._scan(self._held, final=True)
        self._prose.finish()
        self._cite_unclosed()
        return rest + self._close_gap("")

    def _scan(self, text: str, *, final: bool) -> str:
        self._held = ""
        sent: list[str] = []
        position = 0
        while position < len(text) and not self._held:
            position = self._step(text, position, sent, final=final)
        prose = self._prose
        self._stops = STOP_SETS[prose.mode]
        calm = prose.settled and self._gap is None and self._marker_host is None
        calm = calm and (prose.mode is Mode.PROSE or prose.mode is Mode.FENCE)
        self._idle = calm and not self._held
        self._holds_lead = calm and self._held != "" and _LEADS.issuperset(self._held)
        return "".join(sent)

    def _split_lead(self, text: str) -> tuple[str, str] | None:
        """Part a piece without stops, and with a beginning, from a blank or parenthesis at its end."""
        if len(text) > _MAX_PLAIN_CHARS or not self._stops.isdisjoint(text):
            return None
        body = text[:-1] if text[-1:] in _LEADS else text
        if body != text and text[-1] == "(" and body[-1:] in _BLANKS:
            body = body[:-1]
        if not body:
            return None
        return body, text[len(body) :]

    def _step(self, text: str, start: int, sent: list[str], *, final: bool) -> int:
        """Read on from `start` until something is decided; return where to go on, or hold what is left."""
        prose = self._prose
        if prose.settle(text[start]) or not prose.settled:
            return self._pass_one(text, start, sent)
        found = STOPS[prose.mode].search(text, start)
        stop = found.start() if found else len(text)
        if prose.mode is not Mode.PROSE:
            self._pass(text[start:stop], sent)
            return self._pass_one(text, stop, sent) if found else stop
        if (found and text[stop] not in _OPENERS) or (final and not found):
            self._pass(text[start:stop], sent)
            return self._pass_one(text, stop, sent) if found else stop
        lead = self._find_lead(text, start, stop)
        self._pass(text[start:lead], sent)
        if not found:
            self._held = text[lead:]
            return stop
        marker = read_marker(text, stop)
        end = stop + len(marker.text) if marker else stop + 1
        if not final and self._must_wait(text, stop, end, marker):
            self._held = text[lead:]
            return stop
        if marker:
            self._pass_marker(text[lead:stop], marker, text[end : end + 1], self._begins_marker(text, end), sent)
        else:
            self._pass(text[lead:end], sent)
        return end

    def _find_lead(self, text: str, start: int, stop: int) -> int:
        """Return where that begins which goes with a marker at `stop`."""
        if self._marker_host is not None and _JOINT.fullmatch(text, start, stop):
            return start
        found = _LEAD.search(text, max(start, stop - 2), stop)
        return found.start() if found else stop

    def _must_wait(self, text: str, stop: int, end: int, marker: Marker | None) -> bool:
        if not marker:
            return may_become_marker(text, stop)
        if end == len(text):
            return True
        return text[end] in _OPENERS and not read_marker(text, end) and may_become_marker(text, end)

    def _begins_marker(self, text: str, start: int) -> bool:
        following = read_marker(text, start) if text[start : start + 1] in _OPENERS else None
        return following is not None and not following.is_interval

    def _pass_marker(self, lead: str, marker: Marker, after: str, chained: bool, sent: list[str]) -> None:
        before = self._prose.before + lead
        attached = self._marker_host if self._marker_host is not None and not lead else None
        host = attached or find_host(before)
        verdict = judge(marker, host, before, after, self._count)
        if after in _OPENERS and not chained:
            verdict = Verdict.TEXT  # the text of a reference link
        joined = self._marker_host is not None and "(" not in lead
        if verdict is Verdict.TEXT:
            self._pass(lead + marker.text, sent)
            return
        if verdict is Verdict.WRONG:
            if not joined:
                self._gap = lead
        else:
            named = name_passages(marker, self._count)
            kept = marker.text if verdict is Verdict.CITATION else keep_items(marker, self._count)
            if self._gap is not None and joined:
                self._send(self._gap + kept, sent)
                self._gap = None
            else:
                self._send(self._close_gap(lead + kept), sent)
            self.cited |= named
            self.places += [(n, self._sent_chars - len(kept), self._sent_chars) for n in sorted(named)]
        self._prose.read(lead + marker.text)
        self._marker_host = host

    def _pass(self, text: str, sent: list[str]) -> None:
        """Send on text that holds no stop."""
        if not text:
            return
        self._send(self._close_gap(text), sent)
        self._prose.read(text)
        self._marker_host = None

    def _pass_one(self, text: str, position: int, sent: list[str]) -> int:
        char = text[position]
        self._send(self._close_gap(char), sent)
        self._prose.take(char)
        self._marker_host = None
        if self._prose.unclosed:
            self._cite_unclosed()
        return position + 1

    def _send(self, text: str, sent: list[str]) -> None:
        sent.append(text)
        self._sent_chars += len(text)

    def _close_gap(self, text: str) -> str:
        """Return the text with what stood before the markers that were removed in front of it, as it reads well."""
        if self._gap is None:
            return text
        gap = self._gap
        if gap.endswith("(") and text.startswith(")"):
            # The parentheses held nothing else.
            self._gap = gap[:-1]
            return self._close_gap(text[1:]) if text[1:] else ""
        self._gap = None
        if gap.endswith("("):
            return gap + text.lstrip(" \t")
        if gap:
            return text if not text or text[0] in _CLOSES_UP else gap + text
        return text.removeprefix(" ") if self._removed_at_line_start() else text

    def _removed_at_line_start(self) -> bool:
        start = self._prose.before.rpartition("\n")[2].lstrip(" \t>(")
        return start[:1] in _OPENERS

    def _cite_unclosed(self) -> None:
        """Count the citations in what looked like code, and turned out to be prose when it had passed."""
        for before, span in self._prose.unclosed:
            text, host, end = before + span, None, -1
            for start in (found.start() for found in STOPS[Mode.PROSE].finditer(text, len(before))):
                if (marker := read_marker(text, start)) and text[start - 1] != "\\":
                    host = (host if start == end else None) or find_host(text[:start])
                    end = start + len(marker.text)
                    after = text[end : end + 1]
                    if after in _OPENERS and not self._begins_marker(text, end):
                        continue
                    if judge(marker, host, text[:start], after, self._count) is Verdict.CITATION:
                        self.cited |= name_passages(marker, self._count)
        self._prose.unclosed.clear()
