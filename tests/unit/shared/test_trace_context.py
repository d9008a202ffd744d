"""The header `traceparent`, as W3C Trace Context says that it is read and passed on."""

import pytest

from shared.trace_context import Trace, enter_trace, make_trace_headers, read_trace_id, read_traceparent

ID = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("header", "sampled"),
    [
        (f"00-{ID}-{CALLER}-01", True),
        (f"00-{ID}-{CALLER}-00", False),
        (f"00-{ID}-{CALLER}-ff", True),
        (f" 00-{ID}-{CALLER}-02 ", False),
        (f"cc-{ID}-{CALLER}-01", True),
        (f"cc-{ID}-{CALLER}-01-what-the-future-brings", True),
    ],
)
def test_a_trace_is_gone_on_with(header: str, sampled: bool) -> None:
    """Also one of a later version, and with flags that we do not know."""
    assert read_traceparent(header.encode()) == Trace(ID, sampled)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        f"00-{ID}-{CALLER}",
        f"00-{ID}-{CALLER}-01-more",
        f"ff-{ID}-{CALLER}-01",
        f"00-{'0' * 32}-{CALLER}-01",
        f"00-{ID}-{'0' * 16}-01",
        f"00-{ID.upper()}-{CALLER}-01",
        f"00-{ID[1:]}-{CALLER}-01",
        f"00-{ID}-{CALLER}-01\n",
        f"00-{ID}-{CALLER}-0x",
        "\xff" * 55,
    ],
)
def test_what_is_no_trace_begins_a_new_one(header: str) -> None:
    """And is not passed on."""
    with enter_trace(header.encode("latin-1")) as trace_id:
        assert trace_id != ID
        assert read_traceparent(make_trace_headers()["traceparent"].encode()) == Trace(trace_id, sampled=False)


def test_the_next_service_learns_of_the_trace() -> None:
    """The id and whether it is recorded stay; who calls is another each time. Outside there is none."""
    with enter_trace(f"00-{ID}-{CALLER}-01".encode()):
        assert read_trace_id() == ID
        first, second = (make_trace_headers()["traceparent"] for _ in range(2))
    assert read_traceparent(first.encode()) == read_traceparent(second.encode()) == Trace(ID, sampled=True)
    assert len({first[36:52], second[36:52], CALLER}) == 3
    assert (read_trace_id(), make_trace_headers()) == (None, {})
