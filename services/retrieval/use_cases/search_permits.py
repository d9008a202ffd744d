"""Bounds how many searches are under way: what would only wait for its deadline is better told at once."""

from collections.abc import Iterator
from contextlib import contextmanager

from shared.errors import make_busy_error

MAX_SEARCHES_AT_ONCE = 512
"""More than two gateways send at once (200 each); without a reranker the last of them waits some seconds."""


class SearchPermits:
    """So many searches at once. For one event loop."""

    def __init__(self, most: int = MAX_SEARCHES_AT_ONCE) -> None:
        self._left = most

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Take a permit for a `with` block. Raises DependencyUnavailable, `server_busy`, when there is none."""
        if self._left == 0:
            raise make_busy_error()
        self._left -= 1
        try:
            yield
        finally:
            self._left += 1
