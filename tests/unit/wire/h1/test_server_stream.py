"""How a response is framed, and what is left of it at a cut."""

from __future__ import annotations

import contextlib
import socket

import pytest
from harness.stream import RESET_ON_CLOSE
from unit.wire.h1.stage import GET, CallerStage

from gateway.core.message import ResponseHead
from gateway.wire.h1.server import SERVING


async def test_a_cut_drops_what_waits() -> None:
    stage = CallerStage()
    stage.transport.say(GET)
    await stage.turn()
    stage.server.cut()
    assert (stage.transport.lost, bytes(stage.transport.taken)) == (True, b"")


OLD = GET.replace(b"HTTP/1.1", b"HTTP/1.0")
CLOSE = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


@pytest.mark.parametrize(
    ("request_", "length", "lines", "chunked"),
    [
        (GET, 3, b"", False),
        (GET, -1, b"Transfer-Encoding: chunked\r\n", True),
        (CLOSE, 3, b"Connection: close\r\n", False),
        (CLOSE, -1, b"Transfer-Encoding: chunked\r\nConnection: close\r\n", True),
        (OLD, 3, b"Connection: close\r\n", False),
        (OLD, -1, b"Connection: close\r\n", False),
        (OLD.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n"), 3, b"Connection: keep-alive\r\n", False),
    ],
)
async def test_framing(request_: bytes, length: int, lines: bytes, *, chunked: bool) -> None:
    stage = CallerStage()
    stage.transport.say(request_)
    await stage.turn()
    stage.server.begin(ResponseHead(200, b"OK", 1, [], {}, length, True), b"X: 1\r\n", None, None)
    stage.server.data(memoryview(b"abc"), pooled=False)
    stage.server.end([])
    head, _, body = bytes(stage.transport.taken).partition(b"\r\n\r\n")
    assert lines == b"".join(line + b"\r\n" for line in head.split(b"\r\n")[1:] if line[:2] not in (b"Da", b"X:"))
    assert body == (b"3\r\nabc\r\n0\r\n\r\n" if chunked else b"abc")


async def test_an_interim_response_is_for_http_1_1_alone() -> None:
    for request, passed in ((GET, True), (OLD, False)):
        stage = CallerStage()
        stage.transport.say(request)
        await stage.turn()
        stage.server.interim(ResponseHead(103, b"Early Hints", 1, [], {}, 0, True))
        assert (b"103" in stage.transport.taken) is passed


async def test_it_waits_until_the_caller_has_taken_the_response() -> None:
    stage = CallerStage()
    stage.transport.stop()
    stage.transport.say(GET.replace(b"/a", b"/sent"))
    await stage.turn()
    await stage.respond()
    assert (stage.state, len(stage.server.exchanges)) == (SERVING, 1)
    stage.transport.take()
    await stage.turn()
    assert stage.server.exchanges == ()
    assert stage.server.blocked > 0


def guarded(sock: socket.socket) -> bool:
    """A close of the socket is a RST."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == RESET_ON_CLOSE


@pytest.mark.parametrize("half_closes", [False, True])
@pytest.mark.parametrize("target", [b"/until-close", b"/until-close-and-not-awaited"])
async def test_a_body_until_close_is_guarded_until_it_is_whole(target: bytes, *, half_closes: bool) -> None:
    """A caller that has the whole body, and one that half-closes while its last bytes wait, get an end; also where the
    exchange does not wait for that, as behind the event of an error."""
    near, far = socket.socketpair()
    near.setblocking(False)
    with near, far:
        stage = CallerStage(sock=near)
        stage.transport.say(OLD.replace(b"/a", target))
        await stage.turn()
        assert not guarded(near)
        with contextlib.suppress(BlockingIOError):
            while True:
                near.send(bytes(65536))
        stage.transport.stop()
        await stage.respond()
        assert (stage.server.full, guarded(near)) == (True, True)
        if half_closes:
            stage.transport.link.eof_received()
        else:
            stage.transport.take()
            await stage.turn()
            assert stage.server.exchanges == ()
        assert not guarded(near)
