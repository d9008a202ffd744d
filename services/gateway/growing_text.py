"""Keeps a text that comes in small pieces, in little memory."""

from typing import Final

_PAGE_PIECES: Final = 32


class GrowingText:
    """Join the pieces as they come, a page of them at a time.

    A list of all tokens takes ten times the memory of their text; `io.StringIO` is such a list until it is read. To add
    each to a string would copy that string for each.
    """

    def __init__(self) -> None:
        self._pages: list[str] = []
        self._page: list[str] = []

    def write(self, piece: str) -> None:
        """Add a piece."""
        self._page.append(piece)
        if len(self._page) == _PAGE_PIECES:
            self._pages.append("".join(self._page))
            self._page.clear()

    def read(self) -> str:
        """Return the whole text."""
        return "".join((*self._pages, *self._page))
