from __future__ import annotations

import pytest

from gateway.wire.h2.codes import MAX_FRAME, H2Error
from gateway.wire.h2.frames import (
    frame,
    goaway,
    header_frames,
    rst_stream,
    settings,
    settings_in,
    stripped,
    window_update,
)


def test_frames_as_bytes() -> None:
    assert frame(6, 1, 0, b"12345678").hex() == "000008060100000000" + b"12345678".hex()
    assert settings([(3, 128), (4, 65536)]).hex() == "00000c040000000000000300000080000400010000"
    assert rst_stream(5, 8).hex() == "00000403000000000500000008"
    assert window_update(0, 7).hex() == "00000408000000000000000007"
    assert goaway(3, 11, "calm").hex() == "00000c070000000000000000030000000b" + b"calm".hex()


def test_a_block_that_no_frame_holds() -> None:
    assert header_frames(1, b"\x88", ended=True).hex() == "00000101050000000188"
    block = bytes(2 * MAX_FRAME + 1)
    made = header_frames(1, block, ended=True)
    assert made[:9].hex() == "004000010100000001"
    assert made[9 + MAX_FRAME :][:9].hex() == "004000090000000001"
    assert made[-10:].hex() == "00000109040000000100"
    assert len(made) == len(block) + 3 * 9


@pytest.mark.parametrize(
    ("flags", "payload", "fragment"),
    [(0x8, b"\x02abcd", b"ab"), (0x20, b"12345ab", b"ab"), (0x28, b"\x0112345abc", b"ab"), (0x8, b"\x00", b"")],
)
def test_padding_and_priority_are_taken_off(flags: int, payload: bytes, fragment: bytes) -> None:
    assert stripped(flags, payload) == fragment


@pytest.mark.parametrize(
    ("flags", "payload", "code"), [(0x8, b"", 6), (0x20, b"1234", 6), (0x8, b"\x02a", 1), (0x28, b"\x0112345", 1)]
)
def test_wrong_padding_and_priority(flags: int, payload: bytes, code: int) -> None:
    with pytest.raises(H2Error) as caught:
        stripped(flags, payload)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("pairs", "code"),
    [([(2, 2)], 1), ([(4, 1 << 31)], 3), ([(5, 16383)], 1), ([(5, 1 << 24)], 1), ([(99, 0)] * 33, 11)],
)
def test_settings_out_of_range(pairs: list[tuple[int, int]], code: int) -> None:
    with pytest.raises(H2Error) as caught:
        settings_in(settings(pairs)[9:])
    assert caught.value.code == code


def test_settings_in_range() -> None:
    pairs = [(1, 0), (2, 0), (3, 0), (4, (1 << 31) - 1), (5, (1 << 24) - 1), (6, 0), (0xFFFF, 1)]
    assert settings_in(settings(pairs)[9:]) == pairs
