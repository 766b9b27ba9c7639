"""Where frames end, and where no one can say so any more."""

from __future__ import annotations

import pytest
from harness.websocket import BINARY, CLOSE, PING, frame, masked, unmask

from gateway.wire.websocket import Frames, close_frame

SIZES = [0, 1, 125, 126, 127, 65535, 65536, 70_000]


@pytest.mark.parametrize("client", [False, True])
@pytest.mark.parametrize("step", [1, 2, 3, 7, 100, 1 << 20])
def test_each_end_of_a_frame_is_found(client: bool, step: int) -> None:
    """However the bytes are cut into reads."""
    make = masked if client else frame
    frames, followed = Frames(masked=client), 0
    ends = set()
    stream = b""
    for size in SIZES:
        stream += make(bytes(size), BINARY)
        ends.add(len(stream))
    while followed < len(stream):
        # Most bytes of a large payload are alike: a few steps in it are as good as all.
        piece = memoryview(stream)[followed : followed + step]
        assert frames.follow(piece) == len(piece)
        followed += len(piece)
        assert frames.between is (followed in ends)
    assert not frames.lost
    assert not frames.closed


@pytest.mark.parametrize("split", range(30))
def test_up_to_the_end_of_the_frame_that_goes_on(split: int) -> None:
    first, second, third = masked(b"0123456789"), masked(b""), masked(b"abc")
    frames = Frames(masked=True)
    stream = first + second + third
    frames.follow(memoryview(stream[:split]))
    ends = [len(first), len(first + second), len(stream)]
    following = next(end for end in ends if end > split or end == len(stream))
    assert frames.follow(memoryview(stream[split:]), to_end=True) == following - split
    assert frames.between


def test_what_following_costs() -> None:
    frames = Frames(masked=False)
    frames.follow(memoryview(frame(b"x") * 500))
    assert frames.headers == 500
    frames.follow(memoryview(frame(bytes(1000))[:500]))
    assert frames.headers == 1
    frames.follow(memoryview(bytes(100)))
    assert frames.headers == 0


def test_a_close_ends_the_frames() -> None:
    frames = Frames(masked=False)
    frames.follow(memoryview(frame(b"data") + frame(b"\x03\xe8", CLOSE)[:1]))
    assert not frames.closed
    frames.follow(memoryview(frame(b"\x03\xe8", CLOSE)[1:]))
    assert (frames.closed, frames.between, frames.lost) == (True, False, False)


LOST = {
    "no mask": (True, frame(b"x")),
    "a mask": (False, masked(b"x")),
    "an unknown opcode": (False, b"\x83\x00"),
    "an unknown control opcode": (False, b"\x8b\x00"),
    "a large control frame": (False, frame(bytes(126), PING)),
    "a control frame in parts": (False, frame(b"", PING, fin=False)),
    "a length of 16 bits that needs 7": (False, b"\x81\x7e\x00\x7d" + bytes(125)),
    "a length of 64 bits that needs 16": (False, b"\x81\x7f" + (65535).to_bytes(8, "big")),
    "a length of 64 bits": (False, b"\x81\x7f" + (1 << 63).to_bytes(8, "big")),
}


@pytest.mark.parametrize(("client", "raw"), LOST.values(), ids=LOST.keys())
@pytest.mark.parametrize("step", [1, 1000])
def test_what_is_no_frame_is_followed_no_further(client: bool, raw: bytes, step: int) -> None:
    frames = Frames(masked=client)
    make = masked if client else frame
    stream = make(b"good") + raw + make(b"good again")
    for at in range(0, len(stream), step):
        piece = memoryview(stream)[at : at + step]
        assert frames.follow(piece, to_end=frames.lost) == len(piece)
    assert (frames.lost, frames.between) == (True, False)


def test_the_largest_frame_is_no_mistake() -> None:
    frames = Frames(masked=False)
    frames.follow(memoryview(b"\x82\x7f" + ((1 << 63) - 1).to_bytes(8, "big")))
    assert (frames.lost, frames.between) == (False, False)


def test_a_close_frame_of_ours() -> None:
    assert close_frame(1001) == frame(b"\x03\xe9", CLOSE)
    ours = close_frame(1001, b"\xaa\xbb\xcc\xdd")
    assert ours[:2] == b"\x88\x82"
    assert unmask(ours[6:], ours[2:6]) == b"\x03\xe9"
