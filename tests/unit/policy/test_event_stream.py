"""Server-sent events among the bytes of a stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.event_stream import EventReader


@pytest.mark.parametrize(
    ("piece", "brings_data"),
    [
        (b"data: a\n\n", True),
        (b"data:a\r\n\r\n", True),
        (b"data: a\r\r", True),
        (b"\xef\xbb\xbfdata: a\n\n", True),
        (b"event: token\ndata: a\n\n", True),
        (b"data: a", True),  # of an event that has not ended
        (b"", False),
        (b"\n\n\n", False),
        (b": keepalive\n\n", False),
        (b":data: a\n\n", False),
        (b"data\n\n", False),
        (b"data:\n\n", False),
        (b"data: \n\n", False),
        (b"data:\ndata:\n\n", False),
        (b"id: 1\nevent: token\nretry: 10\n\n", False),
        (b"database: a\n\n", False),
        (b"dat", False),
    ],
)
def test_only_a_value_of_data_is_data(piece: bytes, brings_data: bool) -> None:
    assert EventReader().feed(piece) is brings_data
    reader = EventReader()
    found = [reader.feed(piece[at : at + 1]) for at in range(len(piece))]
    assert any(found) is brings_data


@pytest.mark.parametrize(
    ("piece", "between"),
    [
        (b"", True),
        (b"data: a\n\n", True),
        (b"data: a\r\n\r\n", True),
        (b"data: a\r\n\r", True),
        (b"data: a\n\n: comment\n", True),
        (b"data: a\n\n: comm", False),
        (b"data: a\n", False),
        (b"data: a\r", False),
        (b"id: 1\n", False),
        (b"data", False),
    ],
)
def test_between_two_events_another_one_can_be_written(piece: bytes, between: bool) -> None:
    reader = EventReader()
    reader.feed(piece)
    assert reader.between_events is between


def test_events_with_data_are_counted() -> None:
    reader = EventReader()
    reader.feed(b"data: a\n\n: b\n\ndata:\n\ndata: c\ndata: d\n\nevent: e\n\ndata: unfinished\n")
    assert reader.count == 2


LINES = st.sampled_from([b"data: a", b"data:", b"data: ", b": c", b"id: 1", b"", b"x", b"data:\tz"])
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


@given(st.lists(st.tuples(LINES, ENDS)), st.lists(st.integers(1, 5)))
def test_pieces_of_any_size_say_the_same(lines: list[tuple[bytes, bytes]], sizes: list[int]) -> None:
    stream = b"".join(line + end for line, end in lines)
    whole, parts = EventReader(), EventReader()
    brought = whole.feed(stream)
    at, found = 0, False
    for size in [*sizes, len(stream) + 1]:
        found = parts.feed(stream[at : at + size]) or found
        at += size
    assert (found, parts.count, parts.between_events) == (brought, whole.count, whole.between_events)
