"""Keeps a text that comes in small pieces, in little memory."""

from typing import Final

_PAGE_CHARS: Final = 4096


class GrowingText:
    """Join the pieces as they come, a page at a time.

    A list of tokens takes ten times the memory of their text; `io.StringIO` is such a list until it is read.
    """

    def __init__(self) -> None:
        self._pages: list[str] = []
        self._page = ""

    def write(self, piece: str) -> None:
        """Add a piece."""
        self._page += piece
        if len(self._page) >= _PAGE_CHARS:
            self._pages.append(self._page)
            self._page = ""

    def read(self) -> str:
        """Return the whole text."""
        return "".join((*self._pages, self._page))
