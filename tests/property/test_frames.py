"""Frames: any bytes are read alike however they are split, and nothing but an error of HTTP/2 comes of them."""

from __future__ import annotations

from hyperframe.exceptions import HyperframeError
from hyperframe.frame import Frame
from hypothesis import given
from hypothesis import strategies as st
from unit.wire.h2.test_frame_reader import Calls, reader

from gateway.wire.h2.codes import H2Error
from gateway.wire.h2.frames import frame

kinds = st.sampled_from([0, 0, 0, 1, 1, 9, 9, 2, 3, 4, 6, 7, 8, 0x10])
flags = st.sampled_from([0, 1, 4, 5, 8, 0x20, 0x2D, 0xFF])
payloads = st.sampled_from([b"", b"\0", b"\0\0\0\x01", b"12345", b"\x02abc\0\0", b"12345678"]) | st.binary(max_size=20)
frames = st.builds(frame, kinds, flags, st.sampled_from([0, 1, 1, 1, 3, 5]), payloads)
streams = st.lists(frames | st.binary(max_size=12), max_size=8).map(b"".join)


def outcome(data: bytes, cuts: list[int]) -> tuple[list[tuple[object, ...]], int | None]:
    calls = Calls()
    made, start = reader(calls, burst=100000), 0
    try:
        for cut in sorted(cut % (len(data) + 1) for cut in cuts):
            made.feed(memoryview(data)[start:cut])
            start = cut
        made.feed(memoryview(data)[start:])
    except H2Error as error:
        return calls.seen, error.code
    return calls.seen, None


@given(streams, st.lists(st.integers(0, 200), max_size=6))
def test_the_split_does_not_matter(data: bytes, cuts: list[int]) -> None:
    read_alike(data, cuts)


def read_alike(data: bytes, cuts: list[int]) -> None:
    whole, parts = outcome(data, []), outcome(data, cuts)
    assert whole[1] == parts[1]
    if whole[1] is None:
        assert whole[0] == parts[0]
    else:  # of the DATA before the error more may have gone on, or less
        assert [c for c in whole[0] if c[0] != "data"] == [c for c in parts[0] if c[0] != "data"]


@given(st.lists(frames, max_size=6))
def test_what_is_accepted_hyperframe_reads_alike(parts: list[bytes]) -> None:
    seen, code = outcome(b"".join(parts), [])
    if code is not None:
        return
    payload: dict[int, bytes] = {}
    for part in parts:
        try:
            made, _ = Frame.parse_frame_header(memoryview(part[:9]))
            made.parse_body(memoryview(part[9:]))
        except HyperframeError:
            assert part[3] in (2, 0x10), "the sizes of frames that are read over"
            continue
        if made.type == 0:
            payload[made.stream_id] = payload.get(made.stream_id, b"") + made.data
    ours: dict[int, bytes] = {}
    for call in seen:
        if call[0] == "data":
            ours[call[1]] = ours.get(call[1], b"") + call[2]  # type: ignore[index,operator,call-overload]
    assert {k: v for k, v in ours.items() if v} == {k: v for k, v in payload.items() if v}
