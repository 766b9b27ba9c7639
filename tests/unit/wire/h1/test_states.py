"""Every cell of the two tables, on real connections: the state that follows, and the timer that then runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest
from harness.scripted import HeldSource, ScriptedEnd
from harness.websocket import SWITCHED
from unit.wire.h1.stage import GET, RESPONSE, CallerStage, EndpointStage, KeptRequest, seconds_left

from gateway import errors
from gateway.core.limits import Limits
from gateway.core.message import CHUNKED, OutgoingRequest, ResponseHead
from gateway.errors import GatewayError
from gateway.wire.h1.states import (
    CLIENT,
    CLIENT_TIMERS,
    SERVER,
    SERVER_TIMERS,
    ClientEvent,
    ClientState,
    ServerEvent,
    ServerState,
)
from gateway.wire.tunnel import Tunnel

LIMITS = Limits(first_byte_timeout=11, keepalive_timeout=22, header_timeout=33, body_timeout=44)
"""Each bound is another one, so that a timer shows what it was armed for."""
POST = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n123"
CHUNKS = b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n123"
LAST = b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
REQUESTS = {ServerEvent.REST: POST, ServerEvent.LINGER: LAST + GET, ServerEvent.CLOSE: LAST}
"""What is served, so that the end of its response is this event; another request for all other events."""
SWITCH = ResponseHead(101, b"Switching Protocols", 1, [], {b"upgrade": b"websocket"}, 0, True)


class Caller(CallerStage):
    def __init__(self) -> None:
        super().__init__(LIMITS)
        self.service.refuses_at_once = False
        self.sink = KeptRequest()
        self.far = ScriptedEnd()

    def say(self, data: bytes) -> None:
        """Also what had come before reading stopped."""
        reading, self.transport.reading = self.transport.reading, True
        self.transport.say(data)
        self.transport.reading = reading

    def pipe(self) -> None:
        self.server.pipe(self.sink, lambda: None)  # type: ignore[arg-type]

    def switch(self) -> None:
        self.server.switch(SWITCH, b"", self.far)  # type: ignore[arg-type]

    async def reach(self, state: ServerState, event: ServerEvent) -> None:
        say, turn = self.say, self.turn
        request = REQUESTS.get(event, GET)
        if state is ServerState.IDLE:
            say(GET)
            await self.respond()
        elif state is ServerState.HEAD:
            say(GET[:9])
        elif state is ServerState.SERVING:
            say(request)
            await turn()
        elif state in (ServerState.RECEIVING, ServerState.HELD):
            say(POST)
            await turn()
            self.pipe()
            if state is ServerState.HELD:
                self.server.hold()
        elif state is ServerState.FLUSHING:
            self.transport.stop()
            say(request)
            await turn()
            await self.respond()
        elif state is ServerState.DRAINING:
            say(CHUNKS if event is ServerEvent.LINGER else POST)
            await turn()
            await self.respond()
        elif state is ServerState.LINGERING:
            say(LAST + GET)
            await turn()
            await self.respond()
        elif state is ServerState.TUNNEL:
            say(GET)
            await turn()
            self.switch()
            if event is ServerEvent.LINGER:
                self.server.hold()
        elif state is ServerState.CLOSED:
            self.transport.lose()
        assert self.state is state, "the stage is set"

    async def do(self, event: ServerEvent) -> None:
        """What is this event in the state that the connection is in."""
        server, state = self.server, self.state
        waits_for_head = state in (ServerState.NEW, ServerState.IDLE, ServerState.HEAD)
        ends: dict[ServerEvent, Callable[[], None]] = {
            ServerEvent.STALLED: server._on_stall,
            ServerEvent.LEFT: server._peer_left,
            ServerEvent.EOF: server.eof_received,
            ServerEvent.LOST: self.transport.lose,
            ServerEvent.SWEPT: server.close_idle,
            ServerEvent.CUT: server.cut,
            ServerEvent.PIPED: self.pipe,
            ServerEvent.HOLD: server.hold,
            ServerEvent.RESUME: server.resume,
            ServerEvent.STOPPED: server.stop_body,
            ServerEvent.SWITCH: self.switch,
        }
        if event is ServerEvent.PART:
            self.say((GET[9:12] if state is ServerState.HEAD else GET[:9]) if waits_for_head else b"4")
        elif event is ServerEvent.WHOLE:
            self.say((GET[9:] if state is ServerState.HEAD else GET) if waits_for_head else b"4567890")
        elif event is ServerEvent.EXPIRED:
            assert server.timer.expires_at, "a timer runs"
            server.timer.expires_at = 0.0
            server._on_timeout()
        elif event in ends:
            ends[event]()
        elif event is ServerEvent.FLUSH:
            self.transport.stop()
            await self.respond()
        elif state in (ServerState.SERVING, ServerState.TUNNEL):
            await self.respond()
        elif state is ServerState.FLUSHING:
            self.transport.take()
        elif event is ServerEvent.LINGER:
            self.say(b"no chunk\r\n")
        else:  # CLOSE: the rest has come, and the gateway drains
            self.service.draining = self.service.closes_idle = True
            self.say(b"4567890")


@pytest.mark.parametrize("state", ServerState, ids=lambda state: state.name)
@pytest.mark.parametrize("event", ServerEvent, ids=lambda event: event.name)
async def test_a_connection_of_a_caller(state: ServerState, event: ServerEvent) -> None:
    stage = Caller()
    await stage.reach(state, event)
    after = SERVER[event][state]
    if after is None:
        assert event is not ServerEvent.EXPIRED or not stage.server.timer.expires_at
        with pytest.raises(AssertionError, match=f"cannot happen in the state {state.name}"):
            stage.pipe() if event is ServerEvent.PIPED else stage.server.move(event)
        after = state
    else:
        await stage.do(event)
    assert stage.state is after
    bound = SERVER_TIMERS[after]
    assert seconds_left(stage.server.timer) == (None if bound is None else bound(LIMITS))
    await stage.turn()
    stage.transport.lose()
    await stage.turn()


@pytest.mark.parametrize(
    "state",
    [each for each in ServerState if each not in (ServerState.TUNNEL, ServerState.CLOSED)],
    ids=lambda state: state.name,
)
async def test_in_every_state_bytes_wait_for_a_bounded_time(state: ServerState) -> None:
    stage = Caller()
    await stage.reach(state, ServerEvent.PART)
    stage.transport.stop()
    stage.server.write(b"unsent")
    assert stage.server._stall is not None
    assert seconds_left(stage.server._stall.timer) == 10, "the first look"
    stage.transport.lose()
    await stage.turn()


async def test_a_tunnel_bounds_the_time_itself_until_it_is_over() -> None:
    stage = Caller()
    await stage.reach(ServerState.TUNNEL, ServerEvent.PART)
    stage.transport.stop()
    stage.server.data(memoryview(b"unsent"), pooled=False)
    assert stage.server._stall is None
    assert stage.far.held
    waits = asyncio.ensure_future(stage.server.sent())
    await stage.turn()
    assert stage.server._stall is not None
    assert seconds_left(stage.server._stall.timer) == 10, "then its last bytes are like those of any response"
    stage.transport.take()
    await waits
    assert stage.server._stall.timer.expires_at == 0.0
    stage.transport.lose()
    await stage.turn()


HEAD_OF_TEN = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
BODIES = {
    ClientEvent.EOF: b"HTTP/1.1 200 OK\r\n\r\n123",
    ClientEvent.BAD: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n123",
}
"""What has come of the response whose body goes on; another one for all other events."""
ERROR = GatewayError(errors.INTERNAL)


class Endpoint(EndpointStage):
    def __init__(self) -> None:
        super().__init__(
            OutgoingRequest(
                b"POST", b"/", b"up:1", b"", CHUNKED, takes_trailers=False, replaced=frozenset(), upgrade=b"websocket"
            )
        )
        self.client.body_idle = 5.0

    def start(self) -> None:
        done, reply = self.send()
        reply.switch = self.switched  # type: ignore[method-assign]
        done.add_done_callback(lambda ended: ended.cancelled() or ended.exception())

    def switched(self, head: ResponseHead) -> None:
        near = ScriptedEnd()
        self.client.join(Tunnel(asyncio.get_running_loop(), near, self.client, framed=False))

    def reach(self, state: ClientState, event: ClientEvent) -> None:
        client = self.client
        if state is ClientState.CLOSED:
            self.transport.lose()
        elif state is not ClientState.IDLE:
            self.start()
            client.expect_by(monotonic() + 9, errors.HEADER_TIMEOUT)
        if state is ClientState.STALLED:
            client.begin_body(HeldSource(), CHUNKED)
            self.transport.stop()
            client.data(memoryview(b"abc"), pooled=False)
        elif state in (ClientState.BODY, ClientState.HELD):
            self.transport.say(BODIES.get(event, HEAD_OF_TEN + b"123"))
            if state is ClientState.HELD:
                client.hold()
        elif state is ClientState.DONE:
            self.transport.say(RESPONSE)
        elif state is ClientState.TUNNEL:
            self.transport.say(SWITCHED)
        elif state is ClientState.BROKEN:
            client.fail(ERROR)
        assert client.state is state, "the stage is set"

    def bytes_for(self, event: ClientEvent) -> bytes:
        if self.client.state in (ClientState.BODY, ClientState.HELD):
            bodies = {ClientEvent.END: b"4567890", ClientEvent.BAD: b"no chunk\r\n"}
            return bodies.get(event, b"4")
        heads = {ClientEvent.PART: RESPONSE[:9], ClientEvent.BEGIN: HEAD_OF_TEN, ClientEvent.END: RESPONSE}
        heads[ClientEvent.SWITCH] = SWITCHED
        return heads.get(event, b"garbage\r\n\r\n")

    def do(self, event: ClientEvent) -> None:
        client = self.client
        ways: dict[ClientEvent, Callable[[], Any]] = {
            ClientEvent.SEND: self.start,
            ClientEvent.EXPIRED: self.expire,
            ClientEvent.EOF: self.end_of_file,
            ClientEvent.LOST: self.transport.lose,
            ClientEvent.FULL: client.pause_writing,
            ClientEvent.TAKEN: client.resume_writing,
            ClientEvent.EXPECT: lambda: client.expect_by(monotonic() + 7, errors.HEADER_TIMEOUT),
            ClientEvent.HOLD: client.hold,
            ClientEvent.RESUME: client.resume,
            ClientEvent.KEEP: lambda: client.release(request_complete=True),
            ClientEvent.DROP: lambda: client.release(request_complete=False),
            ClientEvent.FAIL: lambda: client.fail(ERROR),
        }
        if event in (ClientEvent.FULL, ClientEvent.TAKEN) and client.state is not ClientState.TUNNEL:
            client._source = HeldSource()
        if event in ways:
            ways[event]()
        else:
            self.transport.reading = True
            self.transport.say(self.bytes_for(event))

    def expire(self) -> None:
        assert self.client.timer.expires_at, "a timer runs"
        self.client.timer.expires_at = 0.0
        self.client._on_timeout()

    def end_of_file(self) -> None:
        if not self.client.eof_received():
            self.transport.lose()


@pytest.mark.parametrize("state", ClientState, ids=lambda state: state.name)
@pytest.mark.parametrize("event", ClientEvent, ids=lambda event: event.name)
async def test_a_connection_to_an_endpoint(state: ClientState, event: ClientEvent) -> None:
    stage = Endpoint()
    stage.reach(state, event)
    after = CLIENT[event][state]
    if after is None:
        assert event is not ClientEvent.EXPIRED or not stage.client.timer.expires_at
        with pytest.raises(AssertionError, match=f"cannot happen in the state {state.name}"):
            stage.client.move(event)
        after = state
    else:
        stage.do(event)
    assert stage.client.state is after
    # A new request, and a body that is taken again, have no bound until their exchange gives one.
    asked = {
        ClientEvent.SEND: None,
        ClientEvent.TAKEN: None if state is ClientState.STALLED else 9,
        ClientEvent.EXPECT: 7,
    }
    bounds = {"-": None, "idle": 5, "expect": asked.get(event, 9)}
    assert seconds_left(stage.client.timer) == bounds[CLIENT_TIMERS[after]]
    stage.transport.lose()
    await asyncio.sleep(0)


async def test_abandoning_is_the_end_in_every_state() -> None:
    for state in ClientState:
        stage = Endpoint()
        stage.reach(state, ClientEvent.PART)
        stage.client.abandon(0.0)
        assert stage.client.state is ClientState.BROKEN
