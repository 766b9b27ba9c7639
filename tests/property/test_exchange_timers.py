"""Whatever the two sides of an exchange do, a deadline is armed while it is alive, and deadlines alone end it.

Both connections of the gateway stand on scripted transports: the examples decide who sends, who stops reading, and
who takes bytes again. Then no one moves any more and the clock goes on: the exchange has to end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.records import Limits, Route, Timeouts
from gateway.core.exchange import Exchange
from gateway.core.layer import chain
from gateway.errors import GatewayError
from gateway.policy.group import Condition
from gateway.policy.member import Member
from gateway.proxy.layers.deliver import deliver
from gateway.proxy.layers.rescue import rescue
from gateway.proxy.send import send
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.origin import Origin
from gateway.wire import link, stall, timer
from gateway.wire.buffers import BufferPool
from gateway.wire.h1 import client, message, request_body, request_heads, response_reader, server, server_stream
from gateway.wire.h1.client import H1Client
from gateway.wire.h1.head import HeadParser
from gateway.wire.h1.server import CLOSED, H1Server
from gateway.wire.hangup import HangupWatch

pytestmark = pytest.mark.interpreted  # the clock of several modules is replaced


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    @contextmanager
    def everywhere(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            readers = (client, message, request_body, request_heads, response_reader, server, server_stream, stall)
            for module in (link, timer, *readers):
                patch.setattr(module, "monotonic", self, raising=False)
            yield


class Transport:
    """One socket of the gateway's. The peer takes what is written at once, or, when ``stopped``, nothing."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: Any) -> None:
        self.loop = loop
        self.protocol = protocol
        self.stopped = False
        self.reading = True
        self.unsent = 0
        self.inbox = bytearray()
        self.closing = False
        self.lost = False
        protocol.connection_made(self)

    # -- what the gateway calls

    def get_extra_info(self, name: str) -> object:
        return ("192.0.2.1", 1) if name == "peername" else None

    def set_write_buffer_limits(self, **_: int) -> None: ...
    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.closing

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None: ...
    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def write(self, data: bytes) -> None:
        if self.stopped and len(data):
            before, self.unsent = self.unsent, self.unsent + len(data)
            if not before:
                self.protocol.pause_writing()

    def writelines(self, parts: list[bytes]) -> None:
        self.write(b"".join(parts))

    def close(self) -> None:
        self.closing = True
        if not self.unsent:
            self._lose()

    def abort(self) -> None:
        self.closing = True
        self._lose()

    def _lose(self) -> None:
        if not self.lost:
            self.lost = True
            self.loop.call_soon(self.protocol.connection_lost, None)

    # -- what the peer does

    def stop(self) -> None:
        self.stopped = True

    def take(self) -> None:
        self.stopped = False
        if self.unsent and not self.lost:
            self.unsent = 0
            self.protocol.resume_writing()
            if self.closing:
                self._lose()

    def say(self, data: bytes) -> None:
        self.inbox += data
        self.deliver()

    def deliver(self) -> None:
        while self.inbox and self.reading and not self.closing:
            buffer = self.protocol.get_buffer(-1)
            size = min(len(buffer), len(self.inbox))
            buffer[:size] = self.inbox[:size]
            del self.inbox[:size]
            self.protocol.buffer_updated(size)


class Dialled:
    """A pool whose every connection is new."""

    absolute_form = b""
    proxy_fields: Final[list[tuple[bytes, bytes]]] = []

    def __init__(self, loop: asyncio.AbstractEventLoop, buffers: BufferPool) -> None:
        self.connector = self
        self.connection = H1Client(loop, buffers, HeadParser())
        self.connection.body_idle = 2.0
        self.connection.on_idle = self.give_back
        self.transport = Transport(loop, self.connection)

    def take(self) -> None:
        return None

    async def dial(self) -> H1Client:
        return self.connection

    def give_back(self, connection: H1Client) -> None:
        connection.abort()


class Service:
    def __init__(self, pool: Dialled, limits: Limits) -> None:
        self.limits = limits
        self.draining = False
        self.closes_idle = False
        self.hangups = HangupWatch()
        self.reasons: list[str] = []
        timeouts = Timeouts(dial=1, tls_handshake=1, response_header=2, body_idle=2, idle=5, total=0)
        origin = Origin.of("http://127.0.0.1:9")
        endpoint = Endpoint(origin, pool, None, Condition(Member(origin.url)))  # type: ignore[arg-type]
        self.handle = chain(send(Route("p", "/", "p"), endpoint, timeouts.response_header), rescue, deliver)

    def trusts(self, address: str) -> bool:
        return False

    def serve(self, ex: Exchange) -> Coroutine[None, None, None]:
        ex.request_id = b"1"
        return self._run(ex)

    async def _run(self, ex: Exchange) -> None:
        try:
            await self.handle(ex)
        finally:
            self.reasons.append(ex.reason)

    def refuse(self, ex: Exchange, error: GatewayError) -> Coroutine[None, None, None]:
        raise AssertionError(error)

    def opened(self, _: object) -> None: ...
    def closed(self, _: object) -> None: ...


BODY = 300_000
REQUESTS = {
    "get": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "length": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % BODY,
    "chunked": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    "expect": b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % BODY,
}
RESPONSES = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BODY,
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "close": b"HTTP/1.1 200 OK\r\n\r\n",
}


def piece(framing: str, size: int) -> bytes:
    return b"%x\r\n%b\r\n" % (size, b"x" * size) if framing == "chunked" else b"x" * size


class Scene:
    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock, request: str, response: str) -> None:
        self.loop = loop
        self.clock = clock
        self.request = request
        self.response = response
        buffers = BufferPool()
        self.pool = Dialled(loop, buffers)
        self.up = self.pool.transport
        self.service = Service(self.pool, Limits(body_timeout=3.0))
        self.down_connection = H1Server(loop, buffers, HeadParser(), self.service, None)  # type: ignore[arg-type]
        self.down = Transport(loop, self.down_connection)
        self.answered = False
        self.sent = {"client": 0, "upstream": 0}

    async def turns(self) -> None:
        for _ in range(6):
            self.down.deliver()
            self.up.deliver()
            await asyncio.sleep(0)

    def deadlines(self) -> list[Any]:
        down, up = self.down_connection, self.pool.connection
        dogs = [down.timer, down._stall and down._stall.timer, up.timer]
        return [dog for dog in dogs if dog is not None and dog.expires_at]

    @property
    def over(self) -> bool:
        return self.down_connection.state is CLOSED

    async def act(self, move: str, size: int) -> None:
        clocked = {"stop": self.down.stop, "take": self.down.take, "up_stop": self.up.stop, "up_take": self.up.take}
        if move in clocked:
            clocked[move]()
        elif move == "client":
            size = min(size, BODY - self.sent["client"] - 1)
            if self.request != "get" and size > 0:
                self.sent["client"] += size
                self.down.say(piece(self.request, size))
        elif not self.answered:
            self.answered = True
            self.up.say(RESPONSES[self.response])
        else:
            size = min(size, BODY - self.sent["upstream"] - 1)
            if size > 0:
                self.sent["upstream"] += size
                self.up.say(piece(self.response, size))
        await self.turns()

    async def expire(self) -> None:
        """The clock goes on to the next deadline."""
        dog = min(self.deadlines(), key=lambda dog: dog.expires_at)
        self.clock.now = max(self.clock.now, dog.expires_at)
        dog.expires_at = 0.0
        dog._expire()
        await self.turns()


async def play(clock: Clock, request: str, response: str, moves: list[tuple[str, int]]) -> None:
    scene = Scene(asyncio.get_running_loop(), clock, request, response)
    scene.down.say(REQUESTS[request])
    await scene.turns()
    for move, size in moves:
        clock.now += 0.01
        await scene.act(move, size)
        assert scene.over or scene.deadlines(), f"no deadline is armed after {move}"
    for _ in range(50):
        if scene.over:
            break
        await scene.expire()
        assert scene.over or scene.deadlines(), "no deadline is armed after one expired"
    assert scene.over, "deadlines alone do not end it"
    assert scene.pool.connection.transport is None, "the upstream's connection is closed"
    assert len(scene.service.reasons) == 1
    assert scene.service.reasons[0], "an exchange that did not complete has a reason"


MOVES = st.lists(
    st.tuples(
        st.sampled_from(["client", "upstream", "stop", "take", "up_stop", "up_take"]),
        st.sampled_from([1, 100, 5_000, 70_000]),
    ),
    max_size=14,
)


@given(st.sampled_from(sorted(REQUESTS)), st.sampled_from(sorted(RESPONSES)), MOVES)
def test_a_deadline_is_always_armed(request: str, response: str, moves: list[tuple[str, int]]) -> None:
    clock = Clock()
    with clock.everywhere():
        asyncio.run(play(clock, request, response, moves))


def test_both_directions_blocked() -> None:
    """The cell that was empty: the client does not read, the upstream echoes and then reads no more."""
    moves = [("client", 70_000), ("upstream", 1), ("stop", 1), ("upstream", 70_000), ("up_stop", 1), ("client", 70_000)]
    clock = Clock()
    with clock.everywhere():
        asyncio.run(play(clock, "length", "length", moves))
