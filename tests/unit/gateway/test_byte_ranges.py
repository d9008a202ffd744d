"""Which bytes a request wants, as RFC 9110 has it."""

import pytest

from services.gateway.api.byte_ranges import UnsatisfiableRangeError, find_range, is_known

ETAG = '"abc"'


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=10-19", (10, 20)),
        ("bytes=10-", (10, 100)),
        ("bytes=90-1000", (90, 100)),
        ("bytes=-10", (90, 100)),
        ("bytes=-1000", (0, 100)),
        ("Bytes=5-6", (5, 7)),
        ("bytes=99-", (99, 100)),
    ],
)
def test_one_range_is_cut_at_the_end(asked: str, wanted: tuple[int, int]) -> None:
    """The last byte is named inclusively; a suffix may be longer than all."""
    assert find_range({"range": asked}, 100, ETAG) == wanted


@pytest.mark.parametrize(
    "asked", ["", "bytes", "bytes=", "bytes=-", "bytes=5-2", "bytes=0-1,5-6", "lines=0-5", "bytes=a-b", "bytes=--5"]
)
def test_what_is_no_single_range_of_bytes_gets_the_whole(asked: str) -> None:
    """As a server that knows no ranges would do."""
    assert find_range({"range": asked}, 100, ETAG) is None


@pytest.mark.parametrize("asked", ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=999999999999999999-"])
def test_a_range_behind_the_end_is_refused(asked: str) -> None:
    """There is nothing to send."""
    with pytest.raises(UnsatisfiableRangeError):
        find_range({"range": asked}, 100, ETAG)


def test_a_range_of_another_version_gets_the_whole() -> None:
    """Else a client would put parts of two files together."""
    assert find_range({"range": "bytes=5-6", "if-range": ETAG}, 100, ETAG) == (5, 7)
    assert find_range({"range": "bytes=5-6", "if-range": '"other"'}, 100, ETAG) is None
    assert find_range({"range": "bytes=5-6", "if-range": "Mon, 30 Nov 2026 08:00:00 GMT"}, 100, ETAG) is None


@pytest.mark.parametrize(
    ("told", "known"),
    [('"abc"', True), ('W/"abc"', True), ('"x", "abc"', True), ("*", True), ('"x"', False), ("", False)],
)
def test_a_client_may_have_it_already(told: str, *, known: bool) -> None:
    """By any of the tags that it names; weak ones count as well."""
    assert is_known({"if-none-match": told} if told else {}, ETAG) is known
