"""The life of a caller's connection, on a link without a socket."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import pytest
from harness.scripted import ScriptedTransport
from unit.wire.h1.stage import GET, CallerStage, seconds_left

from gateway.core.limits import Limits
from gateway.wire.h1.server import CLOSED, DRAINING, FLUSHING, HEAD, IDLE, LINGERING, NEW, SERVING, H1Server


async def test_one_request_after_the_other() -> None:
    stage = CallerStage()
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


async def test_a_small_rest_of_a_body_is_read_before_the_next_request() -> None:
    stage = CallerStage()
    stage.transport.say(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
    await stage.turn()
    await stage.respond()
    assert stage.state is DRAINING
    stage.transport.say(b"67890" + GET)
    assert stage.state is SERVING
    await stage.turn()
    assert stage.service.served[-1].request.target == b"/a"


async def test_a_large_rest_of_a_body_ends_the_connection() -> None:
    stage = CallerStage()
    stage.transport.say(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
    await stage.turn()
    await stage.respond()
    assert b"\r\nConnection: close\r\n" in stage.transport.taken
    assert stage.state is LINGERING


async def test_no_request_begins_while_the_response_before_it_is_unsent() -> None:
    stage = CallerStage()
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
    stage = CallerStage()
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
    idle, busy = CallerStage(), CallerStage()
    busy.transport.say(GET)
    await busy.turn()
    for stage in (idle, busy):
        stage.service.draining = stage.service.closes_idle = True
        stage.server.close_idle()
    assert (idle.transport.lost, busy.transport.lost) == (True, False)
    await busy.respond()
    assert b"\r\nConnection: close\r\n" in busy.transport.taken
    assert busy.transport.lost


class SocketStage(CallerStage):
    """A connection with a socket, of which it reads nothing by itself; ``caller`` is its other end."""

    def __init__(self) -> None:
        super().__init__()
        self.caller, self.socket = socket.socketpair()
        given = self.server
        self.server = H1Server(given.loop, given._buffers, given._parser, self.service, None)
        self.transport = ScriptedTransport(self.server, peername=("192.0.2.1", 5000), socket=self.socket)
        self.given: list[int] = []

    def give(self, descriptor: int) -> bool:
        self.given.append(descriptor)
        return True


@pytest.fixture
async def at_socket() -> AsyncIterator[SocketStage]:
    stage = SocketStage()
    yield stage
    stage.caller.close()
    stage.socket.close()


async def test_a_drain_serves_what_the_kernel_has_already(at_socket: SocketStage) -> None:
    at_socket.caller.send(GET)
    at_socket.server.close_idle()
    assert at_socket.state is NEW
    at_socket.transport.say(at_socket.socket.recv(99))
    assert at_socket.state is SERVING
    await at_socket.turn()
    await at_socket.respond()
    at_socket.server.close_idle()
    assert (at_socket.state, at_socket.transport.lost) == (CLOSED, True)


async def test_what_is_idle_is_handed_over_and_nothing_else(at_socket: SocketStage) -> None:
    server, give = at_socket.server, at_socket.give
    at_socket.transport.say(GET[:5])
    assert (at_socket.state, server.hand_over(give)) == (HEAD, False), "the other process has not read these bytes"
    at_socket.transport.say(GET[5:])
    await at_socket.turn()
    assert (at_socket.state, server.hand_over(give)) == (SERVING, False)
    await at_socket.respond()
    assert not server.hand_over(lambda _: False), "there is no room"
    assert (at_socket.state, at_socket.given, at_socket.transport.lost) == (IDLE, [], False)
    assert server.hand_over(give)
    assert (at_socket.state, at_socket.given, at_socket.transport.lost) == (
        CLOSED,
        [at_socket.socket.fileno()],
        True,
    )
    assert not server.hand_over(give), "it is over"


async def test_what_no_request_came_on_is_handed_over_too(at_socket: SocketStage) -> None:
    assert (at_socket.state, at_socket.server.hand_over(at_socket.give)) == (NEW, True)


async def test_a_connection_with_tls_is_not_handed_over() -> None:
    stage = CallerStage()
    assert not stage.server.hand_over(lambda _: pytest.fail("the descriptor alone is of no use"))
    assert not stage.transport.lost


async def test_a_connection_that_was_handed_over_waits_as_one_that_served_a_request() -> None:
    stage = CallerStage(Limits(first_byte_timeout=3.0, keepalive_timeout=60.0))
    assert seconds_left(stage.server.timer) == 3
    server = H1Server(stage.server.loop, stage.server._buffers, stage.server._parser, stage.service, None)
    server.begin_idle()
    ScriptedTransport(server, peername=("192.0.2.1", 5000))
    assert (server.state, seconds_left(server.timer)) == (IDLE, 60)


async def test_how_long_it_has_been_idle_and_what_it_serves() -> None:
    stage = CallerStage()
    assert stage.server.idle_since > 0
    stage.transport.say(GET[:5])
    assert stage.server.idle_since > 0, "a head that drips keeps no one from making room"
    stage.transport.say(GET[5:])
    await stage.turn()
    assert stage.server.idle_since == 0.0
    assert stage.server.exchanges == (stage.service.served[0],)
    await stage.respond()
    assert stage.server.idle_since > 0
    assert stage.server.exchanges == ()
    stage.server.make_room()
    assert (stage.state, stage.server.idle_since, stage.service.connections) == (CLOSED, 0.0, set())


async def test_what_a_caller_sends_to_a_lingering_connection_has_a_bound() -> None:
    stage = CallerStage()
    stage.transport.say(b"garbage\r\n\r\n")
    await stage.turn()
    for _ in range(16):
        assert (stage.state, stage.transport.lost) == (LINGERING, False)
        stage.transport.say(bytes(65536))
    stage.transport.say(b"x")
    assert (stage.state, stage.transport.lost) == (CLOSED, True)
