"""A text that grows is whole, and takes the memory of its characters."""

import tracemalloc

from services.gateway.growing_text import GrowingText


def test_all_pieces_are_there_in_order() -> None:
    """Also those beyond a page, and larger than one."""
    pieces = [f" token{n}" for n in range(3000)] + ["x" * 10_000, "é"]
    text = GrowingText()
    for piece in pieces:
        text.write(piece)
    assert text.read() == "".join(pieces)


def test_it_takes_little_more_than_its_characters() -> None:
    """Which a list of the pieces, or io.StringIO, does not."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    text = GrowingText()
    for n in range(5000):
        text.write(f" {n}")
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert taken < 1.5 * len(text.read())
