from __future__ import annotations

from collections.abc import Callable

import pytest
from unit.scene import Nobody

from gateway.core.exchange import Exchange
from gateway.core.message import CHUNKED, RequestHead
from gateway.core.stream import BodySink
from gateway.errors import BODY_TOO_LARGE, GatewayError
from gateway.proxy.collect import collected


class Caller(Nobody):
    """Its body comes in ``pieces``."""

    awaits_continue = False

    def __init__(self, *pieces: bytes) -> None:
        super().__init__()
        self.pieces = pieces
        self.stopped = False

    def take_body(self) -> bytes | None:
        return None

    def pipe(self, sink: BodySink, on_end: Callable[[], None]) -> None:
        sink.begin_body(self, -1)  # type: ignore[arg-type] # no stream
        sink.pieces([memoryview(piece) for piece in self.pieces], pooled=True)
        sink.end([b"A: b"])
        on_end()

    def stop_body(self) -> None:
        self.stopped = True


async def collect(length: int, *pieces: bytes, most: int = 10) -> tuple[Caller, bytes | str]:
    caller = Caller(*pieces)
    ex = Exchange(caller, RequestHead(b"POST", b"/", 1, [], {}, length, keep_alive=True), 0.0)  # type: ignore[arg-type]
    try:
        return caller, await collected(ex, most)
    except GatewayError as error:
        return caller, error.details if error.reason is BODY_TOO_LARGE else error.reason.code


@pytest.mark.parametrize("length", [10, CHUNKED])
async def test_a_body_up_to_the_bound(length: int) -> None:
    caller, body = await collect(length, b"01234", b"56789")
    assert (body, caller.stopped) == (b"0123456789", False)


async def test_a_body_that_says_that_it_is_too_large_is_not_read() -> None:
    caller, said = await collect(11, b"01234")
    assert (said, caller.stopped) == ("The request body exceeds 10 bytes", False)


async def test_a_body_that_turns_out_too_large_is_read_no_further() -> None:
    caller, said = await collect(CHUNKED, b"01234", b"56789", b"x", b"y")
    assert (said, caller.stopped) == ("The request body exceeds 10 bytes", True)
