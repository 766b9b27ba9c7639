"""The body of a request, on the connection of its caller: taken whole, relayed, or left.

The lowest layer of `H1Server`. It has the state of the connection, and what was read and is not taken yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

from gateway import errors
from gateway.core.exchange import Exchange
from gateway.core.message import CHUNKED, RequestHead
from gateway.core.stream import BodySink
from gateway.errors import GatewayError
from gateway.wire.buffers import BufferPool
from gateway.wire.connections import Service
from gateway.wire.h1.chunked import ChunkedDecoder
from gateway.wire.h1.message import MessageWriter
from gateway.wire.h1.states import SERVER, SERVER_TIMERS, ServerEvent, ServerState
from gateway.wire.pace import Pace
from gateway.wire.peer_watch import PeerWatch
from gateway.wire.state_table import following
from gateway.wire.timer import LazyTimer

MAX_STASH = 16384
"""Bytes that are read ahead of the request that is served; at most one read more. The kernel keeps the rest. A caller
that leaves behind a full receive window goes unnoticed, and its connection holds this much until its request ends.
"""
# Bound once: Python 3.11 takes 0.13 us to look a member up.
RECEIVING, TUNNEL = ServerState.RECEIVING, ServerState.TUNNEL


class RequestBody(MessageWriter):
    """Base of the side of HTTP/1.1 that serves: a `gateway.core.stream.Source`."""

    __slots__ = (
        "_awaits_continue",
        "_body_sink",
        "_decoder",
        "_left",
        "_on_uploaded",
        "_peer_watch",
        "_reading",
        "_refused",
        "_service",
        "_stash",
        "_upload_pace",
        "exchange",
        "limits",
        "state",
        "timer",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, buffers: BufferPool, service: Service) -> None:
        super().__init__(loop, buffers)
        self._service = service
        self.limits = service.limits
        self.state = ServerState.NEW
        self.timer = LazyTimer(loop, self._on_timeout)
        """While bytes of the caller are waited for; which ones, and for how long, follows from the state."""
        self.exchange: Exchange | None = None
        """The one that runs."""
        self._stash = bytearray()
        """Bytes that came and are not taken yet: a part of a head, a body before it is relayed, pipelined requests."""
        self._left = 0
        """Bytes of the request's body to come; `CHUNKED` while a chunked body goes on."""
        self._decoder: ChunkedDecoder | None = None
        self._awaits_continue = False
        self._refused = False
        """The request, or its body, could not be parsed: what follows it has no known meaning."""
        self._body_sink: BodySink | None = None
        """Where the body is relayed to, in the states RECEIVING and HELD."""
        self._on_uploaded: Callable[[], None] | None = None
        self._upload_pace = Pace(0)
        self._reading = True
        self._peer_watch: PeerWatch | None = None
        """Made when reading first stops."""

    def move(self, event: ServerEvent) -> bool:
        """Follow the table of `states.py`, to the next state and its timer; False when the state ignores ``event``.

        The two transitions of each small request, to SERVING and to IDLE, do the same by hand, because a call costs.
        """
        after = following(SERVER[event], self.state)
        if after is self.state:
            return False
        self.state = after
        bound = SERVER_TIMERS[after]
        if bound is None:
            self.timer.disarm()
        else:
            self.timer.arm(monotonic() + bound(self.limits))
        return True

    def _on_timeout(self) -> None:
        """The caller did not send what the state waits for."""
        raise NotImplementedError

    def _peer_left(self) -> None:
        """The caller has closed or reset its side while nothing is read."""
        raise NotImplementedError

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._peer_watch is not None:
            self._peer_watch.end()
        # They lead back to this connection.
        self._peer_watch = self._body_sink = self._on_uploaded = None
        self._stash.clear()

    # -- whole

    @property
    def body_complete(self) -> bool:
        """Every byte of the request's body was taken."""
        return self._left == 0

    def take_body(self) -> bytes | None:
        """The whole body, when its length is known and it has come already; None when it must be relayed."""
        left = self._left
        if left < 0 or len(self._stash) < left:
            return None
        if left == len(self._stash):
            body = bytes(self._stash)
            self._stash.clear()
        else:  # the beginning of the next request stands behind it
            body = bytes(self._stash[:left])
            del self._stash[:left]
        self._left = 0
        if self.exchange is not None:
            self.exchange.bytes_in += left
        return body

    @property
    def awaits_continue(self) -> bool:
        """The caller sent ``Expect: 100-continue`` and holds its body back."""
        return self._awaits_continue and not self._stash

    # -- relayed

    def pipe(self, sink: BodySink, on_end: Callable[[], None]) -> None:
        """Relay the body to ``sink`` as it comes; ``on_end`` is called after its last byte."""
        if not self.move(ServerEvent.PIPED):  # closed meanwhile
            return
        self._awaits_continue = False
        self._body_sink = sink
        self._on_uploaded = on_end
        self._upload_pace = Pace(self.limits.min_body_rate)
        sink.begin_body(self, self._left)
        if self.state is RECEIVING:  # not held: the endpoint has taken what was written before
            self._upload_pace.begin(monotonic())
            self._read_on()
            self._take_stashed()

    def stop_body(self) -> None:
        """No one takes more of the body."""
        if self._body_sink is not None:
            self._body_sink = None
            self.move(ServerEvent.STOPPED)

    def hold(self) -> None:
        # The endpoint is slow to take the body: its time runs now, not the caller's.
        if self.move(ServerEvent.HOLD):
            self._upload_pace.pause(monotonic())
            self._hold_reading()
        elif self.state is TUNNEL:
            self._hold_reading()

    def resume(self) -> None:
        if self.move(ServerEvent.RESUME):
            self._upload_pace.begin(monotonic())
            self._take_stashed()
            if self.state is not ServerState.HELD:  # again, by what was stashed
                self._read_on()
        elif self.state is TUNNEL:
            self._read_on()

    def _take_stashed(self) -> None:
        stash, self._stash = self._stash, bytearray()
        if stash:
            self._relay(memoryview(stash), pooled=False)

    def _relay(self, data: memoryview, *, pooled: bool) -> None:
        sink = self._body_sink
        assert sink is not None
        now = monotonic()
        self.timer.arm(now + self.limits.body_timeout)
        if self._upload_pace.too_slow(len(data), now) and self.exchange is not None and not self.exchange.committed:
            self._refused = True
            self._fail_upload(
                GatewayError(errors.CLIENT_TIMEOUT, "The request body came slower than limits.min_body_rate")
            )
            return
        try:
            payload, consumed = self._payload(data)
        except GatewayError as error:
            self._refused = True
            self._fail_upload(error)
            return
        sink.pieces(payload, pooled=pooled)
        if self._left == 0:
            sink.end([] if self._decoder is None else self._decoder.trailers)
            self.stop_body()
            self._stash += data[consumed:]
            if self._on_uploaded is not None:
                self._on_uploaded()

    def _fail_upload(self, error: GatewayError) -> None:
        sink = self._body_sink
        self.stop_body()
        if sink is not None:
            sink.fail(error)

    def _payload(self, data: memoryview) -> tuple[list[memoryview], int]:
        """Split the body's bytes off ``data``; sets ``_left`` to 0 at the body's end."""
        payload: list[memoryview] = []
        if self._decoder is None:
            consumed = min(self._left, len(data))
            payload.append(data[:consumed])
            self._left -= consumed
        else:
            consumed = self._decoder.feed(data, payload)
            self.took_pieces(self._decoder.pieces)
            if self._decoder.done:
                self._left = 0
        if self.exchange is not None:
            self.exchange.bytes_in += sum(map(len, payload))
            if 0 < self.limits.max_body_bytes < self.exchange.bytes_in:
                raise GatewayError(
                    errors.BODY_TOO_LARGE, f"The request body exceeds {self.limits.max_body_bytes} bytes"
                )
        return payload, consumed

    def _expect_body(self, head: RequestHead) -> None:
        """``head`` announces a body."""
        self._left = head.length
        self._decoder = None
        if head.length == CHUNKED:
            self._decoder = ChunkedDecoder(errors.BAD_FRAMING, self.limits.max_trailer_bytes)
        self._awaits_continue = (
            head.minor == 1 and b"expect" in head.known and head.known[b"expect"].lower() == b"100-continue"
        )

    # -- reading

    def await_turn(self) -> None:
        self._service.turns.enter(self.loop, self._turn_came)

    def _turn_came(self) -> bool:
        self.take_turn()
        return self.transport is not None

    def _bound_stash(self) -> None:
        """While a request is served: read no further ahead than `MAX_STASH`."""
        if len(self._stash) > MAX_STASH:
            self._hold_reading()

    def _hold_reading(self) -> None:
        """Stop reading; `PeerWatch` then notices a caller that leaves, because the event loop does not."""
        if self._reading and self.transport is not None:
            self._reading = False
            self.pause_reading()
            if self._peer_watch is None:
                self._peer_watch = PeerWatch(self.loop, self._service.hangups, self.transport, self._peer_left)
            self._peer_watch.begin()

    def _read_on(self) -> None:
        if not self._reading:
            self._reading = True
            if self._peer_watch is not None:
                self._peer_watch.end()
            self.resume_reading()
