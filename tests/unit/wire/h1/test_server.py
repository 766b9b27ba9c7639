"""The states of a caller's connection, on a link without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import pytest
from harness.scripted import ScriptedTransport

from gateway.core.exchange import Exchange
from gateway.core.limits import Limits
from gateway.errors import GatewayError
from gateway.wire.buffers import BufferPool
from gateway.wire.connections import ServerConnection
from gateway.wire.h1.head import HeadParser
from gateway.wire.h1.server import CLOSED, DRAINING, FLUSHING, HEAD, IDLE, LINGERING, NEW, SERVING, H1Server
from gateway.wire.h1.states import ServerState
from gateway.wire.hangup import HangupWatch
from gateway.wire.turns import Turns

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"


class Service:
    """Responds to each exchange when the test says so."""

    def __init__(self) -> None:
        self.limits = Limits()
        self.draining = False
        self.hangups = HangupWatch()
        self.turns = Turns()
        self.connections: set[ServerConnection] = set()
        self.served: list[Exchange] = []
        self.refused: list[str] = []
        self.go_on = asyncio.Event()

    def trusts(self, address: str) -> bool:
        return False

    def serve(self, exchange: Exchange) -> Coroutine[None, None, None]:
        return self._respond(exchange)

    async def _respond(self, exchange: Exchange) -> None:
        self.served.append(exchange)
        await self.go_on.wait()
        exchange.downstream.respond(200, b"X: 1\r\n", b"ok")
        await exchange.downstream.sent() if exchange.request.target == b"/sent" else None

    async def refuse(self, exchange: Exchange, error: GatewayError) -> None:
        self.refused.append(error.reason.code)
        exchange.downstream.respond(error.reason.status, b"", b"")

    def opened(self, connection: ServerConnection) -> None:
        self.connections.add(connection)

    def closed(self, connection: ServerConnection) -> None:
        self.connections.discard(connection)


class Stage:
    def __init__(self) -> None:
        self.service = Service()
        self.server = H1Server(asyncio.get_running_loop(), BufferPool(), HeadParser(), self.service, b"http")
        self.transport = ScriptedTransport(self.server, peername=("192.0.2.1", 5000))

    @property
    def state(self) -> ServerState:
        return self.server.state

    async def turn(self) -> None:
        for _ in range(6):
            await asyncio.sleep(0)

    async def respond(self) -> None:
        self.service.go_on.set()
        await self.turn()
        self.service.go_on.clear()


async def test_one_request_after_the_other() -> None:
    stage = Stage()
    assert stage.service.connections == {stage.server}
    assert stage.server.peer.address == "192.0.2.1:5000"
    for number in (1, 2):
        assert stage.state is (NEW if number == 1 else IDLE)
        assert stage.server.timer.expires_at, "the wait for a request has a bound"
        stage.transport.say(GET)
        assert stage.state is SERVING
        assert not stage.server.timer.expires_at
        await stage.turn()
        await stage.respond()
        assert bytes(stage.transport.taken).count(b"HTTP/1.1 200 OK\r\n") == number
    stage.transport.lose()
    assert (stage.state, stage.service.connections) == (CLOSED, set())


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_a_head_in_pieces_and_a_pipelined_request(size: int) -> None:
    stage = Stage()
    raw = GET + GET.replace(b"/a", b"/b")
    for start in range(0, len(raw), size):
        stage.transport.say(raw[start : start + size])
        assert stage.state is (SERVING if start + size >= len(GET) else HEAD)
    stage.service.go_on.set()
    await stage.turn()
    assert [ex.request.target for ex in stage.service.served] == [b"/a", b"/b"]
    assert stage.state is IDLE


async def test_a_request_that_is_none_is_refused_and_ends_the_connection() -> None:
    stage = Stage()
    stage.transport.say(b"garbage\r\n\r\n")
    await stage.turn()
    assert stage.service.refused == ["bad_request"]
    assert b"\r\nConnection: close\r\n" in stage.transport.taken
    assert stage.state is LINGERING
    assert stage.transport.eof
    stage.transport.say(b"whatever follows")
    assert stage.service.refused == ["bad_request"], "it is read and dropped"
    assert stage.server.timer.expires_at, "for a bounded time"


async def test_a_small_rest_of_a_body_is_read_before_the_next_request() -> None:
    stage = Stage()
    stage.transport.say(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
    await stage.turn()
    await stage.respond()
    assert stage.state is DRAINING
    stage.transport.say(b"67890" + GET)
    assert stage.state is SERVING
    await stage.turn()
    assert stage.service.served[-1].request.target == b"/a"


async def test_a_large_rest_of_a_body_ends_the_connection() -> None:
    stage = Stage()
    stage.transport.say(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
    await stage.turn()
    await stage.respond()
    assert b"\r\nConnection: close\r\n" in stage.transport.taken
    assert stage.state is LINGERING


async def test_no_request_begins_while_the_response_before_it_is_unsent() -> None:
    stage = Stage()
    stage.transport.stop()
    stage.transport.say(GET + GET)
    await stage.turn()
    await stage.respond()
    assert (stage.state, len(stage.service.served)) == (FLUSHING, 1)
    stage.transport.take()
    await stage.turn()
    assert (stage.state, len(stage.service.served)) == (SERVING, 2)


@pytest.mark.parametrize("target", [b"/a", b"/sent"])
async def test_a_caller_that_leaves_ends_its_exchange(target: bytes) -> None:
    stage = Stage()
    stage.transport.stop()
    stage.transport.say(GET.replace(b"/a", target))
    await stage.turn()
    if target == b"/sent":
        await stage.respond()  # and it waits until the caller has taken the response
    (exchange,) = stage.service.served
    stage.transport.lose()
    await stage.turn()
    assert exchange.reason == "client_gone"
    assert exchange.gone_at > 0
    assert stage.server.exchange is None


async def test_a_drain_closes_what_is_idle_and_lets_the_rest_end() -> None:
    idle, busy = Stage(), Stage()
    busy.transport.say(GET)
    await busy.turn()
    for stage in (idle, busy):
        stage.service.draining = True
        stage.server.close_idle()
    assert (idle.transport.lost, busy.transport.lost) == (True, False)
    await busy.respond()
    assert b"\r\nConnection: close\r\n" in busy.transport.taken
    assert busy.transport.lost


async def test_a_cut_drops_what_waits() -> None:
    stage = Stage()
    stage.transport.say(GET)
    await stage.turn()
    stage.server.cut()
    assert (stage.transport.lost, bytes(stage.transport.taken)) == (True, b"")
