"""The event-stream reader keeps to the WHATWG rules, however the bytes are cut."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.sse import Event, parse_events, read_events, split_lines

LINE_ENDS = st.sampled_from(["\n", "\r", "\r\n"])
# Characters that naive readers trip over: line ends of str.splitlines, several-byte characters, field syntax.
TEXT = st.text(alphabet=st.sampled_from([*"ab :", "\u2028", "\x0b", "\x0c", "\x85", "é", "日", "🙂", "\ufeff"]))
FIELDS = st.sampled_from(["data: ", "data:", "data", "event: ", "event", "id: ", ":", "retry: ", "other: ", ""])
LINES = st.builds(lambda field, text, end: f"{field}{text}{end}", FIELDS, TEXT, LINE_ENDS)
STREAMS = st.lists(st.one_of(LINES, LINE_ENDS), max_size=20).map(lambda lines: "".join(lines).encode())


@st.composite
def cut_streams(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """A stream and the same bytes in portions, some of them empty."""
    stream = draw(STREAMS)
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    return stream, [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


@given(cut_streams())
@example((b"data: a\r\n\r\ndata: b\r\n\r\n", [b"data: a\r", b"\n\r", b"\ndata: b\r\n\r", b"\n"]))
def test_any_split_of_the_bytes_gives_the_same_events(cut: tuple[bytes, list[bytes]]) -> None:
    """Where the network cuts a stream changes nothing about its events."""
    whole, portions = cut
    assert list(read_events(portions)) == list(read_events([whole]))


@given(st.lists(st.tuples(st.sampled_from(["token", "sources"]), TEXT), max_size=8), LINE_ENDS)
def test_what_was_written_is_read_back(events: list[tuple[str, str]], end: str) -> None:
    """Events written with any of the three line ends come back with their names and data, none lost."""
    stream = "".join(f"event: {name}{end}data: {data}{end}{end}" for name, data in events)
    assert list(read_events([stream.encode()])) == [Event(name, data) for name, data in events]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        pytest.param("data: a\n\n", [Event("message", "a")], id="default name"),
        pytest.param("data: a\ndata: b\n\n", [Event("message", "a\nb")], id="several data lines join with LF"),
        pytest.param("data:a\n\ndata:  b\n\n", [Event("message", "a"), Event("message", " b")], id="one space goes"),
        pytest.param("data\n\ndata:\n\n", [Event("message", ""), Event("message", "")], id="empty data is data"),
        pytest.param("event: ping\n\ndata: a\n\n", [Event("message", "a")], id="no data, no event, name forgotten"),
        pytest.param(": ping\n\ndata: a\n: ping\ndata: b\n\n", [Event("message", "a\nb")], id="comments are skipped"),
        pytest.param("event: token\ndata: a\nretry: 5\nx: y\n\n", [Event("token", "a")], id="unknown fields"),
        pytest.param(
            "id: 1\ndata: a\n\ndata: b\n\n", [Event("message", "a", "1"), Event("message", "b", "1")], id="id"
        ),
        pytest.param("id: 1\0\ndata: a\n\n", [Event("message", "a")], id="an id with NUL is ignored"),
        pytest.param("\ufeffdata: a\n\n", [Event("message", "a")], id="byte order mark"),
        pytest.param("data: a\n\ndata: b\n", [Event("message", "a")], id="cut before the blank line"),
        pytest.param("data: a\n\ndata: b", [Event("message", "a")], id="cut inside a line"),
        pytest.param('data: "a\u2028b\x0cc"\n\n', [Event("message", '"a\u2028b\x0cc"')], id="only CR and LF end lines"),
        pytest.param("", [], id="nothing"),
    ],
)
def test_rule(stream: str, events: list[Event]) -> None:
    """Each rule of the standard on its smallest stream."""
    assert list(read_events([stream.encode()])) == events


def test_event_is_given_out_before_more_bytes_come() -> None:
    """A reader that shows tokens must not wait for the next event, not even when a CR ends the blank line."""
    portions = iter([b"data: a\r\r"])
    assert next(read_events(portions)) == Event("message", "a")


def test_bytes_that_are_not_utf8_become_replacement_characters() -> None:
    """One bad byte must not end the stream."""
    assert list(read_events([b"data: a\xffb\n\n"])) == [Event("message", "a\ufffdb")]


def test_lines_can_come_from_anywhere() -> None:
    """Whoever has lines already parses them without bytes."""
    assert list(parse_events(["event: token", "data: a", ""])) == [Event("token", "a")]


def test_unfinished_line_is_no_line() -> None:
    """Half a line must not pass for a whole one."""
    assert list(split_lines([b"one\ntw"])) == ["one"]
