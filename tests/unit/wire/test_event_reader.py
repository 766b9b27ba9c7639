"""Server-sent events among the bytes of a stream."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.event_reader import EventReader


@pytest.mark.parametrize(
    ("piece", "brings_data"),
    [
        (b"data: a\n\n", True),
        (b"data: token\n\n", True),
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


class Model:
    """The same, a line at a time, as the standard says it."""

    def __init__(self, stream: bytes) -> None:
        text = stream.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = text.split(b"\n")
        self.count, self.brought, has_data, has_fields = 0, False, False, False
        for line in lines:
            if not line:
                self.count += has_data
                has_data = has_fields = False
            elif not line.startswith(b":"):
                has_fields = True
                has_data = has_data or self._value(line) != b""
            self.brought = self.brought or has_data
        self.brought = self.brought or self._value(rest) != b""
        self.between_events = not rest and not has_fields

    def _value(self, line: bytes) -> bytes:
        name, _, value = line.partition(b":")
        return value.removeprefix(b" ") if name == b"data" else b""


LINES = st.sampled_from([b"data: a", b"data:", b"data: ", b": c", b"id: 1", b"", b"", b"x", b"data:\tz", b"data:  "])
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


@given(st.booleans(), st.lists(st.tuples(LINES, ENDS)), LINES, st.lists(st.integers(1, 40)))
def test_pieces_of_any_size_say_what_the_standard_says(
    marked: bool, lines: list[tuple[bytes, bytes]], rest: bytes, sizes: list[int]
) -> None:
    stream = b"\xef\xbb\xbf" * marked + b"".join(line + end for line, end in lines) + rest
    reader, at, brought = EventReader(), 0, False
    for size in [*sizes, len(stream) + 1]:
        brought = reader.feed(stream[at : at + size]) or brought
        at += size
    model = Model(stream)
    assert (brought, reader.count) == (model.brought, model.count)
    assert reader.between_events == model.between_events or stream == b"\xef\xbb\xbf"


@pytest.mark.parametrize("line", [b"\n", b"a\n", b"data:a\n\n", b": c\n", b"\r\n"])
def test_many_short_lines_cost_no_step_each(line: bytes) -> None:
    steps = 0

    def count(*_: object) -> None:
        nonlocal steps
        steps += 1

    reader = EventReader()
    sys.setprofile(count)
    reader.feed(line * 50_000)
    sys.setprofile(None)
    assert steps < 100
