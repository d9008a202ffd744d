"""Lets model text through as it streams, without citation markers that name no passage.

A marker is a bracket that holds only numbers: `[3]`, `[1, 7]`, `[2-4]`. That includes `[2024]`: a reader, and
a client that turns markers into links, cannot tell a year in brackets from a citation, so it counts as a
citation of passage 2024 and goes. Every other bracket (`[sic]`, `[a]`, `[]`) is plain text.
"""

import re

MAX_MARKER_CHARS = 64
"""Longer numeric brackets are no citations; this bounds how much text is ever held back."""

_INSIDE = frozenset("0123456789,;+-– \t")
_MARKER = re.compile(
    r"\[[ \t]*[+-]?\d+[ \t]*(?:[-–][ \t]*\d+[ \t]*)?(?:[,;][ \t]*[+-]?\d+[ \t]*(?:[-–][ \t]*\d+[ \t]*)?)*\]",
    re.ASCII,
)
_ITEM = re.compile(r"([+-]?\d+)(?:[ \t]*[-–][ \t]*(\d+))?", re.ASCII)
_OPEN_TAIL = re.compile(r"\[[0-9,;+\-– \t]*\Z")


def remove_markers(text: str) -> str:
    """The text without any citation marker, valid or not: what a quotation must not bring along."""
    filtered = CitationFilter(0)
    return filtered.feed(text) + filtered.finish()


class CitationFilter:
    """Removes the markers that name no passage, whatever the pieces in which the text arrives.

    In a list the valid numbers stay: `[1, 9]` becomes `[1]` where there are three passages. All other
    characters pass, in order; at most MAX_MARKER_CHARS of them wait, and only after a `[` that may still
    become a marker.

    Parameters:
        passage_count: the markers 1..passage_count are valid.

    Attributes:
        cited: the passages named by the markers that were let through.
    """

    def __init__(self, passage_count: int) -> None:
        self.cited: set[int] = set()
        self._count = passage_count
        self._holding = False
        self._held = ""
        # Removing the inner marker of "[[9]7]" must not let "[" and "7]" close up to a new one, so what is
        # already out and may still be completed counts as the start of the next marker.
        self._opened = ""
        self._sent = ""

    def feed(self, text: str) -> str:
        """What can be sent on now."""
        if not self._holding and "[" not in text:
            return self._send(text)
        out: list[str] = []
        position = 0
        while position < len(text):
            if self._holding:
                out.append(self._take(text[position]))
                position += 1
                continue
            start = text.find("[", position)
            if start < 0:
                start = len(text)
            else:
                self._hold("[", "")
            # the text before the bracket leaves; the bracket itself is held
            out.append(self._send(text[position:start]))
            position = start + 1
        return "".join(out)

    def finish(self) -> str:
        """What is still held back when the text has ended."""
        return self._release()

    def _take(self, char: str) -> str:
        if char == "]":
            return self._close()
        if char in _INSIDE and len(self._opened) + len(self._held) + 2 <= MAX_MARKER_CHARS:
            self._held += char
            return ""
        released = self._release()
        if char == "[":
            self._hold("[", "")
            return released
        return released + self._send(char)

    def _close(self) -> str:
        whole = self._opened + self._held + "]"
        if not _MARKER.fullmatch(whole):
            return self._release() + self._send("]")
        items = _ITEM.findall(whole)
        valid = [item for item in items if self._names_passages(item)]
        if len(valid) == len(items):
            self._cite(valid)
            return self._release() + self._send("]")
        if valid and not self._opened:
            self._cite(valid)
            kept = "[" + ", ".join(f"{low}-{high}" if high else low for low, high in valid) + "]"
            self._held = kept
            return self._release()
        opened = _OPEN_TAIL.search(self._sent)
        self._hold("", opened.group() if opened else "")
        self._holding = opened is not None
        return ""

    def _names_passages(self, item: tuple[str, str]) -> bool:
        low, high = int(item[0]), int(item[1] or item[0])
        return 1 <= low <= high <= self._count

    def _cite(self, items: list[tuple[str, str]]) -> None:
        for low, high in items:
            self.cited.update(range(int(low), int(high or low) + 1))

    def _hold(self, held: str, opened: str) -> None:
        self._holding, self._held, self._opened = True, held, opened

    def _release(self) -> str:
        held = self._held
        self._holding, self._held, self._opened = False, "", ""
        return self._send(held)

    def _send(self, text: str) -> str:
        self._sent = (self._sent + text)[-MAX_MARKER_CHARS:]
        return text
