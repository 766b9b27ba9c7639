"""Frames of any kind, in any order, from an endpoint: nothing that is cut looks whole, and no place is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from harness.frames import block
from hypothesis import given
from hypothesis import strategies as st
from unit.wire.h2.client_stage import OK, Asking, UpstreamStage, outgoing

from gateway.core.message import CHUNKED
from gateway.errors import GatewayError
from gateway.wire.h2.frames import frame, goaway, rst_stream, settings, window_update

IDENTS = st.sampled_from([0, 1, 3, 5, 7, 2, 9, 99])
HEADS = st.sampled_from(
    [
        block(OK),
        block([*OK, (b"content-length", b"3")]),
        block([*OK, (b"content-length", b"0")]),
        block([(b":status", b"103")]),
        block([(b":status", b"204")]),
        block([(b"x-sum", b"1")]),
        block([*OK, (b"connection", b"close")]),
        b"\x88\x40\x01a\x011",
        b"\x88\xbe",
        b"\xff",
        b"",
    ]
)
FLAGS = st.sampled_from([0, 1, 4, 5, 8, 9, 12, 13])
FRAMES = st.one_of(
    st.builds(lambda ident, flags, head: frame(1, flags, ident, head), IDENTS, FLAGS, HEADS),
    st.builds(lambda ident, flags, head: frame(9, flags, ident, head), IDENTS, FLAGS, HEADS),
    st.builds(
        lambda ident, flags, data: frame(0, flags, ident, data),
        IDENTS,
        FLAGS,
        st.sampled_from([b"", b"a", b"abc", b"\x02abc\0\0", bytes(16384)]),
    ),
    st.builds(rst_stream, IDENTS, st.integers(0, 20)),
    st.builds(window_update, IDENTS, st.sampled_from([0, 1, 1000, (1 << 31) - 1])),
    st.builds(lambda key, value: settings([(key, value)]), st.integers(1, 6), st.sampled_from([0, 1, 50, 70_000])),
    st.builds(goaway, IDENTS, st.integers(0, 13)),
    st.builds(
        lambda kind, flags, ident, data: frame(kind, flags, ident, data),
        st.integers(0, 12),
        FLAGS,
        IDENTS,
        st.binary(max_size=9),
    ),
    st.binary(max_size=12),
)
GOOD = st.sampled_from([1, 3, 5, 7]).map(
    lambda ident: frame(1, 4, ident, block([*OK, (b"content-length", b"3")])) + frame(0, 1, ident, b"abc")
)
Step = Callable[[UpstreamStage, list[Asking]], None]


def hold(stage: UpstreamStage, asked: list[Asking]) -> None:
    for asking in asked:
        asking.stream.hold()


def resume(stage: UpstreamStage, asked: list[Asking]) -> None:
    for asking in asked:
        asking.stream.resume()


def leave(stage: UpstreamStage, asked: list[Asking]) -> None:
    asked[0].stream.abandon(0.0)


def lose(stage: UpstreamStage, asked: list[Asking]) -> None:
    stage.close()


STEPS = st.lists(
    st.one_of(
        FRAMES, FRAMES, GOOD, st.lists(FRAMES, max_size=4).map(b"".join), st.sampled_from([hold, resume, leave, lose])
    ),
    max_size=12,
)


@given(STEPS)
def test_whatever_an_endpoint_sends(steps: list[bytes | Step]) -> None:
    asyncio.run(_run(steps))


async def _run(steps: list[bytes | Step]) -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
    stage = UpstreamStage()
    asked = [stage.ask(), stage.ask(outgoing(b"HEAD")), stage.ask(outgoing(b"POST", CHUNKED)), stage.ask()]
    for step in steps:
        if stage.transport.lost:
            break
        if callable(step):
            step(stage, asked)
        elif stage.transport.reading:
            stage.transport.say(step)
    for asking in asked:
        asking.stream.resume()
    stage.close()
    await asyncio.sleep(0)
    for asking in asked:
        _check(asking)
        asking.stream.abandon(0.0)
    assert stage.client.streams == 0, "each place is free again"
    assert complaints == []


def _check(asking: Asking) -> None:
    """A response that was given on as complete has all that its head announced; anything else failed."""
    sink, done = asking.reply.sink, asking.done
    if not done.done():  # its exchange left it
        assert not sink.complete
        return
    error = done.exception()
    if error is None:
        assert sink.complete
        assert asking.stream._ended
        expected = asking.stream._expected
        assert expected <= 0
    else:
        assert isinstance(error, GatewayError)
        assert not sink.complete
