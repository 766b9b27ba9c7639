"""Frames: what is called for each, however the bytes are split, and each refusal with its code."""

from __future__ import annotations

import pytest

from gateway.wire.h2.budget import Budget
from gateway.wire.h2.codes import MAX_FRAME, PREFACE, H2Error
from gateway.wire.h2.frame_reader import MAX_BLOCK, FrameReader
from gateway.wire.h2.frames import frame, settings, window_update

SETTINGS = settings([])


class Calls:
    """What was called, the payload of DATA joined."""

    def __init__(self) -> None:
        self.seen: list[tuple[object, ...]] = []

    def on_headers(self, ident: int, block: bytes, *, ended: bool) -> None:
        self.seen.append(("headers", ident, block, ended))

    def on_data_frame(self, ident: int, size: int) -> None:
        self.seen.append(("frame", ident, size))

    def on_padding(self, ident: int, size: int) -> None:
        self.seen.append(("padding", ident, size))

    def on_data(self, ident: int, piece: memoryview, *, ended: bool) -> None:
        before = self.seen[-1]
        if before[0] == "data" and before[1] == ident and not before[3]:
            self.seen.pop()
            self.seen.append(("data", ident, bytes(before[2]) + bytes(piece), ended))  # type: ignore[arg-type]
        else:
            self.seen.append(("data", ident, bytes(piece), ended))

    def on_reset(self, ident: int, code: int) -> None:
        self.seen.append(("reset", ident, code))

    def on_window(self, ident: int, step: int) -> None:
        self.seen.append(("window", ident, step))

    def on_settings(self, pairs: list[tuple[int, int]]) -> None:
        self.seen.append(("settings", pairs))

    def on_ping(self, payload: bytes) -> None:
        self.seen.append(("ping", payload))

    def on_ping_ack(self, payload: bytes) -> None:
        self.seen.append(("pong", payload))

    def on_goaway(self, last: int, code: int) -> None:
        self.seen.append(("goaway", last, code))

    def on_stream_error(self, ident: int, code: int, details: str) -> None:
        self.seen.append(("error", ident, code))


def reader(calls: Calls, burst: int = 1000, *, preface: bool = False) -> FrameReader:
    made = FrameReader(calls, Budget("frames", burst, 1, lambda: 0.0), preface=preface)
    if not preface:
        made.feed(memoryview(SETTINGS))
        calls.seen.clear()
    return made


def feed(made: FrameReader, data: bytes, size: int) -> None:
    for start in range(0, len(data), size):
        made.feed(memoryview(data)[start : start + size])


ALL = [
    (frame(0, 0, 1, b"abc"), [("frame", 1, 3), ("data", 1, b"abc", False)]),
    (frame(0, 1, 3, b"abc"), [("frame", 3, 3), ("data", 3, b"abc", True)]),
    (frame(0, 1, 3, b""), [("frame", 3, 0), ("data", 3, b"", True)]),
    (frame(0, 9, 3, b"\x03ab\0\0\0"), [("frame", 3, 6), ("padding", 3, 4), ("data", 3, b"ab", True)]),
    (frame(0, 9, 3, b"\x02\0\0"), [("frame", 3, 3), ("padding", 3, 3), ("data", 3, b"", True)]),
    (frame(0, 8, 3, b"\x00"), [("frame", 3, 1), ("padding", 3, 1)]),
    (frame(1, 5, 1, b"\x82"), [("headers", 1, b"\x82", True)]),
    (frame(1, 0x2C, 1, b"\x0112345\x82\0"), [("headers", 1, b"\x82", False)]),
    (frame(1, 1, 1, b"a") + frame(9, 0, 1, b"b") + frame(9, 4, 1, b"c"), [("headers", 1, b"abc", True)]),
    (frame(2, 0, 1, b"12345"), []),
    (frame(2, 0, 1, b"1234"), [("error", 1, 6)]),
    (frame(3, 0, 1, b"\0\0\0\x08"), [("reset", 1, 8)]),
    (settings([(4, 5)]), [("settings", [(4, 5)])]),
    (frame(4, 1, 0, b""), []),
    (frame(6, 0, 0, b"12345678"), [("ping", b"12345678")]),
    (frame(6, 1, 0, b"12345678"), [("pong", b"12345678")]),
    (frame(7, 0, 0, b"\x80\0\0\x05\0\0\0\x02debug"), [("goaway", 5, 2)]),
    (window_update(0, 300), [("window", 0, 300)]),
    (window_update(1, (1 << 31) - 1), [("window", 1, (1 << 31) - 1)]),
    (window_update(1, 0), [("error", 1, 1)]),
    (frame(0xFE, 0xFF, 77, b"whatever"), []),
]


@pytest.mark.parametrize("size", [1, 2, 7, 9, 10, 100000])
def test_each_frame_however_it_is_split(size: int) -> None:
    calls = Calls()
    made = reader(calls)
    stream = b"".join(data for data, _ in ALL)
    feed(made, stream, size)
    assert calls.seen == [call for _, found in ALL for call in found]
    assert not made.partial


@pytest.mark.parametrize("size", [1, 5, 24, 100])
def test_the_preface_comes_first(size: int) -> None:
    calls = Calls()
    made = reader(calls, preface=True)
    data = memoryview(PREFACE + SETTINGS + ALL[0][0])
    for start in range(0, len(data), size):
        made.feed(data[start : start + size])
    assert calls.seen == [("settings", []), *ALL[0][1]]


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"P" * 24, PREFACE[:-1] + b"\r"])
def test_another_beginning(data: bytes) -> None:
    with pytest.raises(H2Error, match="preface") as caught:
        reader(Calls(), preface=True).feed(memoryview(data))
    assert caught.value.code == 1


@pytest.mark.parametrize("first", [frame(6, 0, 0, b"12345678"), frame(0, 0, 1, b""), frame(1, 5, 1, b"\x82")])
def test_the_first_frame_is_settings(first: bytes) -> None:
    with pytest.raises(H2Error, match="first frame") as caught:
        reader(Calls(), preface=True).feed(memoryview(PREFACE + first))
    assert caught.value.code == 1


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(0, 0, 0, b"a"), 1),
        (frame(0, 8, 1, b""), 6),
        (frame(0, 8, 1, b"\x01"), 1),
        (frame(0, 8, 1, b"\x05abcd"), 1),
        (frame(0, 0, 1, bytes(MAX_FRAME + 1)), 6),
        (frame(1, 4, 1, bytes(MAX_FRAME + 1)), 6),
        (frame(1, 4, 0, b"\x82"), 1),
        (frame(1, 0xC, 1, b"\x05\x82"), 1),
        (frame(1, 0, 1, b"\x82") + frame(0, 0, 1, b""), 1),
        (frame(1, 0, 1, b"\x82") + frame(9, 4, 3, b""), 1),
        (frame(1, 0, 1, b"\x82") + frame(0xFE, 0, 0, b""), 1),
        (frame(9, 4, 1, b"\x82"), 1),
        (frame(2, 0, 0, b"12345"), 1),
        (frame(3, 0, 0, b"1234"), 1),
        (frame(3, 0, 1, b"123"), 6),
        (frame(4, 0, 1, b""), 1),
        (frame(4, 0, 0, b"12345"), 6),
        (frame(4, 1, 0, b"123456"), 6),
        (frame(5, 4, 1, b"\0\0\0\x02\x82"), 1),
        (frame(6, 0, 1, b"12345678"), 1),
        (frame(6, 0, 0, b"1234567"), 6),
        (frame(7, 0, 1, b"12345678"), 1),
        (frame(7, 0, 0, b"1234567"), 6),
        (frame(8, 0, 1, b"123"), 6),
        (window_update(0, 0), 1),
    ],
)
def test_refusals(data: bytes, code: int) -> None:
    for size in (len(data), 1):
        with pytest.raises(H2Error) as caught:
            feed(reader(Calls()), data, size)
        assert caught.value.code == code


@pytest.mark.parametrize(
    "flood",
    [frame(9, 0, 1, b"x") * 9, frame(9, 0, 1, bytes(MAX_FRAME)) * (MAX_BLOCK // MAX_FRAME), frame(9, 0, 1, b"") * 9],
)
def test_cve_2024_27316_a_flood_of_continuations(flood: bytes) -> None:
    with pytest.raises(H2Error, match="too long") as caught:
        reader(Calls()).feed(memoryview(frame(1, 0, 1, b"\x82") + flood))
    assert caught.value.code == 11


@pytest.mark.parametrize(
    ("one", "cost"),
    [
        pytest.param(frame(6, 0, 0, b"12345678"), 1, id="CVE-2019-9512 PING"),
        pytest.param(frame(6, 1, 0, b"12345678"), 1, id="PING ACK"),
        pytest.param(SETTINGS, 1, id="CVE-2019-9515 SETTINGS"),
        pytest.param(frame(4, 1, 0, b""), 1, id="SETTINGS ACK"),
        pytest.param(frame(2, 0, 1, b"12345"), 1, id="CVE-2019-9513 PRIORITY"),
        pytest.param(frame(0x10, 0, 0, b"1234u=1"), 1, id="PRIORITY_UPDATE"),
        pytest.param(frame(0x77, 0, 0, b""), 1, id="unknown"),
        pytest.param(window_update(1, 1), 1, id="CVE-2019-9511 WINDOW_UPDATE of a byte"),
        pytest.param(frame(0, 0, 1, b""), 10, id="CVE-2019-9518 empty DATA"),
        pytest.param(frame(0, 8, 1, b"\x02\0\0"), 10, id="empty DATA with padding"),
        pytest.param(frame(1, 0, 1, b"") + frame(9, 4, 1, b"\x82"), 10, id="empty HEADERS"),
        pytest.param(frame(1, 0, 1, b"\x82") + frame(9, 4, 1, b""), 10, id="empty CONTINUATION"),
    ],
)
def test_a_flood_has_a_budget(one: bytes, cost: int) -> None:
    calls = Calls()
    made = reader(calls, burst=101)  # one is spent on the first SETTINGS
    for _ in range(100 // cost):
        made.feed(memoryview(one))
    with pytest.raises(H2Error) as caught:
        made.feed(memoryview(one))
    assert caught.value.code == 11


def test_what_is_partial() -> None:
    made = reader(Calls())
    made.feed(memoryview(frame(1, 0, 1, b"\x82")))
    assert made.partial
    assert (made.frames, made.messages) == (2, 1)
    made.feed(memoryview(frame(9, 4, 1, b"")))
    assert not made.partial
    assert (made.frames, made.messages) == (3, 2)
    made.feed(memoryview(frame(0, 0, 1, b"abc")[:10]))
    assert not made.partial, "a body that drips has bounds of its own"
    made.feed(memoryview(b"bc\0\0"))
    assert made.partial
