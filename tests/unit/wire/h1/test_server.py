"""The life of a caller's connection, on a link without a socket."""

from __future__ import annotations

import pytest
from unit.wire.h1.stage import GET, CallerStage

from gateway.wire.h1.server import CLOSED, DRAINING, FLUSHING, IDLE, LINGERING, NEW, SERVING


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
