"""Follows Markdown as it streams and says which characters are prose, and which are code or mathematics."""

import re
from enum import IntEnum

TAIL_CHARS = 200
"""How much of what was read is remembered, to see what stands before a character."""

_LONG_TAIL_CHARS = 2 * TAIL_CHARS  # when it is cut: less often than at each token

MAX_SPAN_CHARS = 4096
"""What is kept of a span whose end has not come yet."""

_FENCE_BEFORE = re.compile(r"\n[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)?\Z")
_CLOSING_FENCE_BEFORE = re.compile(r"\n[ \t>]*\Z")


class Mode(IntEnum):
    """What the text is at the moment."""

    PROSE = 0
    CODE = 1
    MATH = 2
    MATH_BLOCK = 3
    FENCE_HEAD = 4
    FENCE = 5
    FENCE_TAIL = 6


_SPANS = (Mode.CODE, Mode.MATH, Mode.MATH_BLOCK)
# By mode: what can change it, and in prose what can begin a marker.
_STOPS = (r"`~$\\\[【［", r"`\n", r"$\\\n", r"$\\\n", r"`\n", r"`~", r"\s\S")
STOPS = tuple(re.compile(f"[{stops}]") for stops in _STOPS)
STOP_SETS = tuple(frozenset(char for char in "`~$\\[【［\n" if stop.match(char)) for stop in STOPS)


class MarkdownProse:
    """Reads characters in order; the pieces do not matter.

    Code and mathematics within a line end with the line, and mathematics in a block with the paragraph: one that has
    not been closed by then was prose, and is kept in `unclosed` (its first MAX_SPAN_CHARS).

    Attributes:
        mode: what the last character is.
        unclosed: for each span that turned out to be prose, what stood before it and the span itself; the reader
            empties it.
    """

    def __init__(self) -> None:
        self.mode = Mode.PROSE
        self.unclosed: list[tuple[str, str]] = []
        self._tail = "\n"
        self._run = ""  # backticks, tildes or dollar signs, of which more may come
        self._run_before = ""
        self._escaped = False
        self._delimiter = ""
        self._span = ""
        self._span_before = ""

    @property
    def settled(self) -> bool:
        """Whether the mode of the next character is known without looking at it."""
        return not (self._run or self._escaped)

    @property
    def before(self) -> str:
        """The last characters, at most TAIL_CHARS; the text begins with a line break."""
        return self._tail[-TAIL_CHARS:]

    def read_plain(self, text: str) -> None:
        """Read a short text that holds no stop of the mode, while it is settled, and prose or a fence."""
        self._tail += text
        if len(self._tail) > _LONG_TAIL_CHARS:
            self._tail = self._tail[-TAIL_CHARS:]

    def read(self, text: str) -> None:
        """Read text that holds no stop of the mode, while it is settled."""
        self.read_plain(text[-TAIL_CHARS:])
        if self.mode in _SPANS:
            self._span = (self._span + text)[:MAX_SPAN_CHARS]

    def settle(self, char: str) -> bool:
        """Find out the mode, now that the next character is known; return whether that character is an escaped one."""
        if self._run and char != self._run[0]:
            self._end_run(char)
        return self._escaped

    def take(self, char: str) -> None:
        """Read any one character."""
        self.settle(char)
        escaped, self._escaped = self._escaped, False
        before = self.before
        if self._run or (not escaped and char in "`~$" and self._is_stop(char)):
            self._run_before = self._run_before if self._run else before
            self._run = (self._run + char)[-MAX_SPAN_CHARS:]
        elif char == "\\" and not escaped and self._is_stop(char):
            self._escaped = True
        elif escaped:
            self._take_escaped(char)
        elif char == "\n":
            self._end_line()
        elif self.mode is Mode.FENCE_TAIL and char not in " \t":
            self.mode = Mode.FENCE
        self.read(char)

    def finish(self) -> None:
        """Read the end of the text."""
        self.settle("")
        if self.mode in _SPANS:
            self._give_up()

    def _is_stop(self, char: str) -> bool:
        return self.mode is not Mode.FENCE_TAIL and char in STOP_SETS[self.mode]

    def _open(self, mode: Mode, delimiter: str) -> None:
        self.mode, self._delimiter = mode, delimiter
        self._span, self._span_before = "", self.before

    def _give_up(self) -> None:
        self.unclosed.append((self._span_before, self._span))
        self.mode = Mode.PROSE

    def _take_escaped(self, char: str) -> None:
        if self.mode is Mode.PROSE and char in "([":
            self._open(Mode.MATH_BLOCK, ")" if char == "(" else "]")
        elif self.mode is Mode.MATH_BLOCK and char == self._delimiter:
            self.mode = Mode.PROSE

    def _end_line(self) -> None:
        blank = not self.before.rpartition("\n")[2].strip()
        if self.mode in (Mode.CODE, Mode.MATH) or (self.mode is Mode.MATH_BLOCK and blank):
            self._give_up()
        elif self.mode is Mode.FENCE_HEAD:
            self.mode = Mode.FENCE
        elif self.mode is Mode.FENCE_TAIL:
            self.mode = Mode.PROSE

    def _end_run(self, after: str) -> None:
        run, before = self._run, self._run_before
        self._run = ""
        if run[0] == "$":
            self._end_dollars(run, before, after)
        elif self.mode is Mode.FENCE:
            if run.startswith(self._delimiter) and _CLOSING_FENCE_BEFORE.search(before):
                self.mode = Mode.FENCE_TAIL
        elif self.mode is Mode.FENCE_HEAD:
            # The head of a fence holds no backtick: it was code within a line.
            self._open(Mode.CODE, self._delimiter)
            self._close_code(run)
        elif len(run) >= 3 and _FENCE_BEFORE.search(before):
            self._open(Mode.FENCE_HEAD if run[0] == "`" else Mode.FENCE, run)
        elif self.mode is Mode.CODE:
            self._close_code(run)
        elif run[0] == "`":
            self._open(Mode.CODE, run)

    def _close_code(self, run: str) -> None:
        if run == self._delimiter:
            self.mode = Mode.PROSE

    def _end_dollars(self, run: str, before: str, after: str) -> None:
        # As Pandoc reads them: what one dollar sign opens begins and ends without a blank, and no digit follows it. A
        # digit after the first is money.
        if self.mode is Mode.PROSE:
            if len(run) == 2:
                self._open(Mode.MATH_BLOCK, run)
            elif len(run) == 1 and (after.isalpha() or after in tuple("\\({[-|")) and not before[-1:].isalnum():
                self._open(Mode.MATH, run)
        elif self.mode is Mode.MATH and len(run) == 1:
            if not before[-1:].isspace() and not after.isdigit():
                self.mode = Mode.PROSE
        elif self.mode is Mode.MATH_BLOCK and run == self._delimiter:
            self.mode = Mode.PROSE
