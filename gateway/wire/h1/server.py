"""The server's side of HTTP/1.1: one connection of a caller, its requests one after the other. It is the stream of the
request that it serves.

    WAITING --head--> BUSY --response complete, request read--> WAITING      (keep-alive; pipelined heads are taken from
    the stash)
                      BUSY --response complete, rest of the body small--> DRAINING --body read--> WAITING
                      BUSY --response complete, no keep-alive--> LINGERING --EOF or time--> closed
                      BUSY --response complete, the client has yet to take it--> FLUSHING --taken--> one of the three
    WAITING --idle too long, EOF--> closed

Each request runs in one task. A client that leaves while BUSY cancels it. LINGERING half-closes and reads on for a
moment: a close with unread bytes makes the kernel send a RST, which can destroy a response that is still on its way.

Two timers, one for each direction. `timer` runs while we wait for bytes of the client; which bytes, and for how
long, follows from the state. `_stall` runs while bytes wait for the client, in every state, so that neither a permit
nor a close waits without a bound for a client that does not read. No request is begun while bytes of the response
before it are unsent, because a client that pipelines and never reads would fill our memory.
"""

from __future__ import annotations

import asyncio
import enum
import socket
import struct
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Protocol

from gateway import errors
from gateway.core.exchange import Exchange
from gateway.core.limits import Limits
from gateway.core.message import CHUNKED, MAX_KEPT_HEAD, RequestHead, ResponseHead
from gateway.core.peer import Peer
from gateway.core.stream import ClientStream, Source, Trailer
from gateway.errors import GatewayError, Reason
from gateway.wire.buffers import BufferPool
from gateway.wire.h1.chunked import ChunkedDecoder
from gateway.wire.h1.grammar import BARE_LINE_END, TOKEN_BYTES
from gateway.wire.h1.head import HeadParser
from gateway.wire.h1.message import MessageWriter
from gateway.wire.h1.serialize import interim_head, own_head, response_head
from gateway.wire.hangup import HangupWatch
from gateway.wire.pace import Pace
from gateway.wire.timer import LazyTimer
from gateway.wire.turns import Turns

_MAX_STASH = 16384
"""Bytes that are read ahead of the request that is served; at most one read more. The kernel keeps the rest: a client
that leaves behind a full receive window cannot be noticed, and its connection holds this much until its request ends.
"""
_MAX_DRAIN = 65536
"""A request body up to this size is read to its end after an early answer, to keep the connection."""
_MAX_LINGER_BYTES = 1 << 20
_LINGER_SECONDS = 2.0
_STALL_TICK = 10.0
"""Seconds between two looks at how much a client that keeps us waiting has taken."""
_CR = 0x0D
_TCP_INFO_BYTES = 128
_BYTES_ACKED = struct.Struct("=Q")
_BYTES_ACKED_AT = 120
"""Where struct tcp_info of linux/tcp.h has tcpi_bytes_acked."""
_HOLD_SECONDS = 0.05
"""A pause in reading that ends sooner is not worth the system calls of watching the peer."""
_NO_REQUEST = RequestHead(b"", b"", 1, [], {}, 0, False)


class Service(Protocol):
    """What a connection asks of the data plane."""

    @property
    def limits(self) -> Limits: ...
    @property
    def draining(self) -> bool: ...
    @property
    def hangups(self) -> HangupWatch: ...
    @property
    def turns(self) -> Turns: ...
    def trusts(self, address: str) -> bool:
        """Whether the peer's own X-Forwarded-* are believed."""
        ...

    def serve(self, exchange: Exchange) -> Coroutine[None, None, None]: ...
    def refuse(self, exchange: Exchange, error: GatewayError) -> Coroutine[None, None, None]:
        """Answer a request that could not be parsed."""
        ...

    def opened(self, connection: H1Server) -> None: ...
    def closed(self, connection: H1Server) -> None: ...


class State(enum.Enum):
    WAITING = enum.auto()
    BUSY = enum.auto()
    FLUSHING = enum.auto()
    DRAINING = enum.auto()
    LINGERING = enum.auto()
    CLOSED = enum.auto()


WAITING, BUSY, FLUSHING, DRAINING, LINGERING, CLOSED = (
    State  # bound once: Python 3.11 takes 0.13 us to look a member up
)


class H1Server(MessageWriter):
    __slots__ = (
        "_acked",
        "_answered",
        "_awaits_continue",
        "_body_sink",
        "_decoder",
        "_discarded",
        "_head_clock",
        "_idle_since",
        "_keep_alive",
        "_large_request",
        "_last_head",
        "_last_request",
        "_left",
        "_moved_at",
        "_on_uploaded",
        "_pace",
        "_parser",
        "_probe",
        "_reading",
        "_refused",
        "_scanned",
        "_scheme",
        "_sent",
        "_service",
        "_stall",
        "_stash",
        "_task",
        "_unsent",
        "_until_close",
        "_upload_pace",
        "_wake",
        "_watched",
        "_work",
        "exchange",
        "limits",
        "peer",
        "state",
        "timer",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        buffers: BufferPool,
        parser: HeadParser,
        service: Service,
        scheme: bytes,
    ) -> None:
        super().__init__(loop, buffers)
        self._parser = parser
        self.state = WAITING
        self.timer = LazyTimer(loop, self._on_timeout)
        self.peer: Peer
        self.exchange: Exchange | None = None
        self._service = service
        self._scheme = scheme
        self.limits = service.limits
        self._task: asyncio.Task[None] | None = None
        self._work: Coroutine[None, None, None] | None = None
        """The exchange that the task is to run next."""
        self._wake: asyncio.Future[None] | None = None
        """Resolved when there is work again."""
        self._answered = False
        """The gateway itself gave the last answer: the next request waits for its turn."""
        self._last_head = b""
        self._last_request: RequestHead | None = None
        self._large_request: RequestHead | None = None
        """The request that is served, when its head is not kept for the next one."""
        self._stash = bytearray()
        """Bytes that came and are not taken yet: a part of a head, a body before it is relayed, pipelined requests."""
        self._scanned = 0
        """Bytes of the stash in which no end of a head was found: a head that drips is not scanned from its start."""
        self._head_clock = False
        """A part of a head has come, and the clock for the rest of it runs."""
        self._refused = False
        """The request, or its body, could not be parsed: who knows what follows it."""
        self._reading = True
        self._idle_since = 0.0
        """When the wait for the current or the last head began."""
        self._probe: asyncio.TimerHandle | None = None
        self._watched = -1
        """The descriptor by which the peer is watched while nothing is read."""
        # The request's body
        self._left = 0
        """Bytes to come; `CHUNKED` while a chunked body goes on."""
        self._decoder: ChunkedDecoder | None = None
        self._body_sink: ClientStream | None = None
        self._on_uploaded: Callable[[], None] | None = None
        self._upload_pace = Pace(0)
        self._awaits_continue = False
        self._discarded = 0
        # The response
        self._keep_alive = False
        self._until_close = False
        self._sent: asyncio.Future[None] | None = None
        """Resolved when the kernel has taken all that was written; set while the exchange waits for that."""
        self._stall: LazyTimer | None = None
        """Armed while bytes wait for the client; made when that first happens."""
        self._pace = Pace(service.limits.min_body_rate)
        self._unsent = 0
        """Bytes that waited for the client when last looked at."""
        self._acked = -1
        """Bytes that the client's host had acknowledged when last looked at; -1: not known."""
        self._moved_at = 0.0
        """When the client was last seen to take bytes."""

    # -- life

    def _connected(self, transport: asyncio.BaseTransport) -> None:
        super()._connected(transport)
        peer = transport.get_extra_info("peername")
        if not peer:  # it has reset the connection already, and has no name any more
            self.abort()
            return
        self.peer = Peer(str(peer[0]), int(peer[1]), self._scheme, self._service.trusts)
        self._service.opened(self)
        limits = self.limits
        self._idle_since = now = monotonic()
        self.timer.arm(now + (limits.first_byte_timeout or limits.keepalive_timeout or limits.header_timeout))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unwatch_peer()
        self._service.closed(self)
        self.timer.close()
        if self._stall is not None:
            self._stall.close()
        if self._sent is None or not self._sent.done():  # else the client took everything before it left
            self._interrupt(errors.CLIENT_GONE)
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
        self.state = CLOSED
        self._stash.clear()
        self._body_sink = self._on_uploaded = None  # they lead back to this connection

    def eof_received(self) -> None:
        # A client that half-closes while it waits counts as gone, as with nginx, Envoy and Go; the transport closes,
        # once it has flushed. A response that goes on must not wait for that.
        if self.state is BUSY and self.full and self._sent is None:
            self.cancel(errors.CLIENT_GONE)

    def cut(self) -> None:
        """Break off: what was sent of an answer must not pass for a complete one."""
        if self._until_close:
            self.reset()
        else:
            self.abort()

    def close_idle(self) -> None:
        """For a drain: close now if nothing is being served."""
        if self.state is WAITING and not self._stash and self.transport is not None:
            self.transport.close()

    @property
    def idle_since(self) -> float:
        """When the wait for a request, or for the rest of its head, began; 0.0 while one is served."""
        return self._idle_since if self.state is WAITING else 0.0

    def make_room(self) -> None:
        """Close at once for the sake of another connection: this one is idle."""
        self.abort()

    def cancel(self, reason: Reason) -> None:
        """End the exchange that runs, as if it had failed for ``reason``, and the connection with it."""
        self._interrupt(reason)
        self.cut()

    def _interrupt(self, reason: Reason) -> None:
        if self.exchange is not None and self._task is not None:
            if not self.exchange.reason:
                self.exchange.reason = reason.code
            if reason is errors.CLIENT_GONE and not self.exchange.gone_at:
                self.exchange.gone_at = monotonic()
            self._task.cancel()

    # -- reading

    def buffer_updated(self, nbytes: int) -> None:
        data = self._buffers.current[:nbytes]
        if self.state is BUSY or self.state is FLUSHING:
            if self._body_sink is not None:
                self._take_body(data, pooled=True)
                if nbytes == self._read_size:
                    self.full_read()
                return
            self._stash += data
            self._bound_stash()
        elif self.state is WAITING:
            if self._stash:
                self._stash += data
                self._advance()
            else:
                self._take_first(data.tobytes())
        elif self.state is DRAINING:
            self._drain(bytes(data))
        elif self.state is LINGERING:
            self._discarded += len(data)
            if self._discarded > _MAX_LINGER_BYTES:
                self.abort()

    def await_turn(self) -> None:
        self._service.turns.enter(self.loop, self._turn_came)

    def _turn_came(self) -> bool:
        self.take_turn()
        return self.transport is not None

    def _bound_stash(self) -> None:
        """While a request is served: read no further ahead than `_MAX_STASH`."""
        if len(self._stash) > _MAX_STASH:
            self._hold_reading()

    def _hold_reading(self) -> None:
        """Stop reading; `HangupWatch` then notices a client that leaves, because the event loop does not."""
        if self._reading:
            self._reading = False
            self.pause_reading()
            self._probe = self.loop.call_later(_HOLD_SECONDS, self._watch_peer)

    def _read_on(self) -> None:
        if not self._reading:
            self._reading = True
            self._unwatch_peer()
            self.resume_reading()

    def _watch_peer(self) -> None:
        self._probe = None
        if self.transport is None or self._reading or (self.state is not BUSY and self.state is not FLUSHING):
            return
        descriptor = self.transport.get_extra_info("socket").fileno()
        if self._service.hangups.watch(descriptor, self):
            self._watched = descriptor
        else:  # the kernel may have room later
            self._probe = self.loop.call_later(_HOLD_SECONDS, self._watch_peer)

    def _unwatch_peer(self) -> None:
        if self._probe is not None:
            self._probe.cancel()
            self._probe = None
        if self._watched >= 0:
            self._service.hangups.forget(self._watched, self)
            self._watched = -1

    def peer_left(self) -> None:
        """The client has closed or reset its side while nothing is read."""
        self._watched = -1
        if (self.state is BUSY or self.state is FLUSHING) and not self._reading:
            self.cancel(errors.CLIENT_GONE)

    def _take_first(self, data: bytes) -> None:
        """What comes while nothing is stashed; most often it is one whole head, which is then not copied twice."""
        end = data.find(b"\r\n\r\n", 0, self.limits.max_header_bytes + 4)
        if end < 0 or data[0] == _CR:  # CR: empty lines before the request line
            self._stash += data
            self._advance()
            return
        if end + 4 == len(data):
            self._begin(data[:end])
            return
        self._stash += data[end + 4 :]
        self._begin(data[:end])
        self._bound_stash()

    def _advance(self) -> None:
        """Take the next head from the stash and start its exchange, or wait for more of it."""
        stash = self._stash
        empty = 0
        while stash[empty : empty + 2] == b"\r\n":  # RFC 9112 2.2: empty lines before a request-line are ignored
            empty += 2
        if empty:
            del stash[:empty]
            self._scanned = 0
        if not stash or stash == b"\r":
            return
        end = stash.find(b"\r\n\r\n", max(0, self._scanned - 3), self.limits.max_header_bytes + 4)
        if end >= 0:
            head = bytes(stash[:end])
            del stash[: end + 4]
            self._scanned = 0
            self._begin(head)
            self._bound_stash()
            return
        try:
            self._check_partial(stash)
        except GatewayError as error:
            self._refuse(error)

    def _begin(self, lines: bytes) -> None:
        """Start the exchange of the request whose head is ``lines``, without the empty line that ended it."""
        try:
            head = self._parse(lines)
        except GatewayError as error:
            self._refuse(error)
            return
        self._left = head.length
        self._decoder = None
        if head.length == CHUNKED:
            self._decoder = ChunkedDecoder(errors.BAD_FRAMING, self.limits.max_trailer_bytes)
        self._awaits_continue = (
            head.length != 0
            and head.minor == 1
            and b"expect" in head.known
            and head.known[b"expect"].lower() == b"100-continue"
        )
        exchange = Exchange(self, head, monotonic())
        self._start(exchange, self._service.serve(exchange))

    def _parse(self, head: bytes) -> RequestHead:
        # A connection often asks the same again, byte for byte: polling, health checks, load tests.
        if head != self._last_head or self._last_request is None:
            if len(head) > MAX_KEPT_HEAD:
                self._large_request = self._parser.request(head, self.limits)
                return self._large_request
            self._last_request = self._parser.request(head, self.limits)
            self._last_head = head
        return self._last_request

    def _check_partial(self, stash: bytearray) -> None:
        """Refuse what can no longer become a good head; else bound the time for the rest of it."""
        limits = self.limits
        if len(stash) > limits.max_uri + 64 and stash.find(b"\r\n", 0, limits.max_uri + 64) < 0:
            raise GatewayError(errors.URI_TOO_LONG, f"The request line exceeds {limits.max_uri} bytes")
        if BARE_LINE_END.search(stash, max(0, self._scanned - 1)) or stash[0] not in TOKEN_BYTES:
            raise GatewayError(errors.BAD_REQUEST, "The connection does not speak HTTP/1.1")
        if len(stash) > limits.max_header_bytes:
            raise GatewayError(errors.HEADERS_TOO_LARGE, f"The head exceeds {limits.max_header_bytes} bytes")
        self._scanned = len(stash)
        if not self._head_clock:
            self._head_clock = True
            self.timer.arm(monotonic() + limits.header_timeout)

    def _refuse(self, error: GatewayError) -> None:
        self._refused = True
        self._left = 0
        self._awaits_continue = False
        exchange = Exchange(self, _NO_REQUEST, monotonic())
        self._start(exchange, self._service.refuse(exchange, error))

    def _start(self, exchange: Exchange, work: Coroutine[None, None, None]) -> None:
        self.state = BUSY
        self._head_clock = False
        self.exchange = exchange
        self._until_close = False
        self.body_out = 0
        self.timer.expires_at = 0.0
        self._work = work
        if self._task is None:
            self._task = self.loop.create_task(self._serve())
        elif self._wake is not None:
            self._wake.set_result(None)

    async def _serve(self) -> None:
        """Run one exchange after the other. One task serves a connection for life: to make one a request costs more."""
        try:
            while True:
                work = self._work
                if work is None:
                    if self.transport is None:
                        return
                    self._wake = self.loop.create_future()
                    await self._wake
                    self._wake = None
                    if self._answered and self._has_work():
                        # No upstream slows this client down: it could ask again as fast as we refuse.
                        self._answered = False
                        await self._service.turns.wait(self.loop)
                    continue
                self._work = None
                try:
                    await work
                finally:
                    self.exchange = None
                    if self._large_request is not None:
                        # The journal keeps its exchange until the log line is written, with up to 255 others.
                        self._large_request.fields.clear()
                        self._large_request = None
                    self._body_sink = None
                self._after_exchange()
                if self._has_work():  # its head had come already, and no event of the kernel made us wait
                    await self._service.turns.wait(self.loop)
        except asyncio.CancelledError:
            if self._work is not None:  # cancelled before its turn
                self._work.close()
                self._work = self.exchange = None
            self.cut()
        except Exception as error:
            # Layers answer their errors; what still gets here must not leave a client waiting.
            self.loop.call_exception_handler(
                {"message": "an exchange failed", "exception": error, "protocol": self.protocol}
            )
            self.cut()
        finally:
            self._task = None

    def _has_work(self) -> bool:
        # A method, because a type checker takes what was set to None for None still, and compiled code is made of that.
        return self._work is not None

    def _after_exchange(self) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        if self.full:  # a response of our own that the client has yet to take
            self.state = FLUSHING
        else:
            self._after_response()

    def _after_response(self) -> None:
        """The client took the whole response: go on to the next request, or to the end of the connection."""
        self._awaits_continue = False
        if not self._keep_alive or self._left > _MAX_DRAIN:
            self._linger()
        elif self._left == 0:
            self._next_request()
        else:
            self._discarded = 0
            self.state = DRAINING
            self.timer.arm(monotonic() + self.limits.body_timeout)
            self._read_on()
            stash, self._stash = self._stash, bytearray()
            self._drain(bytes(stash))

    def _next_request(self) -> None:
        self.state = WAITING
        self._idle_since = now = monotonic()
        self.timer.arm(now + self.limits.keepalive_timeout)
        if self._service.draining and self.transport is not None:
            self._linger()
            return
        if self._stash:
            self._scanned = 0
            self._advance()
        # Not before, and not while much is stashed: each response would make room for one more read.
        if not self._reading and (self.state is WAITING or len(self._stash) <= _MAX_STASH):
            self._read_on()

    def _linger(self) -> None:
        transport = self.transport
        assert transport is not None
        if self._left == 0 and not self._stash and not self._refused and self._reading:
            transport.close()
            return
        # What the client sent is read first. The kernel answers a close over unread bytes with a RST, and then neither
        # side gets the rest of the response (RFC 9112 9.6).
        self.state = LINGERING
        self._discarded = 0
        self._stash.clear()
        self._read_on()
        if transport.can_write_eof():
            transport.write_eof()
        self.timer.arm(monotonic() + _LINGER_SECONDS)

    # -- the request's body

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
        """The client sent ``Expect: 100-continue`` and holds its body back."""
        return self._awaits_continue and not self._stash

    def pipe(self, sink: ClientStream, on_end: Callable[[], None]) -> None:
        """Relay the body to ``sink`` as it comes; ``on_end`` is called after its last byte."""
        self._awaits_continue = False
        self._body_sink = sink
        self._on_uploaded = on_end
        self._upload_pace = Pace(self.limits.min_body_rate)
        sink.begin_body(self, self._left)
        if sink.full:  # the upstream has yet to take what was written before; it calls sink_ready
            return
        now = monotonic()
        self._upload_pace.begin(now)
        self.timer.arm(now + self.limits.body_timeout)
        self._read_on()
        self._take_stashed()

    def stop_body(self) -> None:
        """Nobody takes more of the body."""
        if self._body_sink is not None:
            self._body_sink = None
            self.timer.disarm()

    def _take_stashed(self) -> None:
        stash, self._stash = self._stash, bytearray()
        if stash:
            self._take_body(memoryview(stash), pooled=False)

    def _take_body(self, data: memoryview, *, pooled: bool) -> None:
        sink = self._body_sink
        assert sink is not None
        now = monotonic()
        self.timer.arm(now + self.limits.body_timeout)
        if self._upload_pace.too_slow(len(data), now) and self.exchange is not None and not self.exchange.committed:
            self._refused = True
            sink.fail(GatewayError(errors.CLIENT_TIMEOUT, "The request body came slower than limits.min_body_rate"))
            return
        try:
            payload, consumed = self._payload(data)
        except GatewayError as error:
            self._refused = True
            sink.fail(error)
            return
        sink.pieces(payload, pooled=pooled)
        if self._left == 0:
            sink.end([] if self._decoder is None else self._decoder.trailers)
            self._body_sink = None
            self.timer.disarm()
            self._stash += data[consumed:]
            if self._on_uploaded is not None:
                self._on_uploaded()

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

    def _drain(self, data: bytes) -> None:
        """Read the rest of a body that nobody wants, to reach the next request."""
        self._discarded += len(data)
        try:
            _, consumed = self._payload(memoryview(data))
        except GatewayError:
            self._discarded = _MAX_DRAIN + 1
        if self._discarded > _MAX_DRAIN and self._left:
            self._linger()
        elif self._left == 0:
            self._stash += data[consumed:]
            self._next_request()

    def hold(self) -> None:
        # The upstream is slow to take the body: its time runs now, not the caller's.
        self.timer.disarm()
        self._upload_pace.pause(monotonic())
        self._hold_reading()

    def resume(self) -> None:
        if self._body_sink is not None:
            now = monotonic()
            self.timer.arm(now + self.limits.body_timeout)
            self._upload_pace.begin(now)
            if self._stash:
                self._take_stashed()
                sink = self._body_sink
                if sink is not None and sink.full:  # and blocked again by it
                    return
        self._read_on()

    # -- the response

    def interim(self, head: ResponseHead) -> None:
        """Pass a 1xx on; HTTP/1.0 has none (RFC 9110 15.2)."""
        if head.status == 100:
            self._awaits_continue = False
        if self.exchange is not None and self.exchange.request.minor:
            self.write(interim_head(head))

    def begin(self, head: ResponseHead, lines: bytes, source: Source | None, trailer: Trailer | None) -> None:
        """As `ServerStream.begin`."""
        framing = self._frame(head.length)
        if trailer is not None and self.chunked_out:
            self._trailer = trailer
            framing += b"Trailer: %b\r\n" % trailer.name
        self.start(response_head(head, framing, lines), source)

    def _frame(self, length: int) -> bytes:
        """Decide how the answer ends and whether the connection persists; return the field lines that say so.

        ``length`` as in `ResponseHead`. RFC 9112 6.1, 6.3, 9.3, 9.6.
        """
        assert self.exchange is not None
        request = self.exchange.request
        minor = request.minor
        keep = request.keep_alive and self._may_persist()
        if length >= 0 and keep and minor:
            self._keep_alive = True
            self.chunked_out = False
            self._trailer = None
            return b""
        chunked = False
        lines = b""
        if length < 0:
            chunked = minor == 1
            self._until_close = not chunked
            keep = keep and chunked
            lines = b"Transfer-Encoding: chunked\r\n" if chunked else b""
        self._keep_alive = keep
        self.chunked_out = chunked
        self._trailer = None
        if not keep:
            return lines + b"Connection: close\r\n"
        return lines if minor else lines + b"Connection: keep-alive\r\n"

    def _may_persist(self) -> bool:
        if self._refused or self._service.draining or not self.limits.keepalive_timeout or self._awaits_continue:
            return False
        # A body that is still being uploaded may yet end; one that nobody takes is read to its end when it is small.
        return self._body_sink is not None or self._left <= _MAX_DRAIN

    def respond(self, status: int, lines: bytes, body: bytes) -> None:
        """As `ServerStream.respond`."""
        assert self.exchange is not None
        self._answered = True
        self.stop_body()
        framing = self._frame(len(body))
        self.start(own_head(status, b"%bContent-Length: %d\r\n%b" % (lines, len(body), framing)), None)
        self.whole(memoryview(b"" if self.exchange.request.method == b"HEAD" else body))

    async def sent(self) -> float:
        """Wait until the kernel has taken all that was written; the seconds for which this response waited for it."""
        if self.full:
            self._sent = self.loop.create_future()
            try:
                await self._sent
            finally:
                self._sent = None
        return self.blocked

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.transport is None:
            return
        now = self._moved_at = self.blocked_since
        self._unsent = self.transport.get_write_buffer_size()
        self._pace.begin(now)
        if self._stall is None:
            self._stall = LazyTimer(self.loop, self._on_stall)
        self._stall.arm(now + min(_STALL_TICK, self.limits.body_timeout))

    def resume_writing(self) -> None:
        super().resume_writing()
        self._pace.pause(monotonic())
        if self._stall is not None:
            self._stall.disarm()
        if self._sent is not None:
            if not self._sent.done():
                self._sent.set_result(None)
        elif self.state is FLUSHING and self.alive:
            self._after_response()

    # -- time

    def _on_timeout(self) -> None:
        """The client did not send what the state waits for."""
        if self.state is WAITING and self._stash:
            self._refuse(GatewayError(errors.CLIENT_TIMEOUT, "The head of the request did not come in time"))
        elif self.state is BUSY:
            if self._body_sink is not None:
                self._body_sink.fail(GatewayError(errors.CLIENT_TIMEOUT, "The request body did not come in time"))
        elif self.state is WAITING and self.transport is not None:
            self.transport.close()
        else:
            self.abort()

    def _on_stall(self) -> None:
        """Bytes have waited for the client for a while: cut when it takes none, or takes them below the floor."""
        if self.transport is None or not self.full:
            return
        now = monotonic()
        unsent, acked = self.transport.get_write_buffer_size(), self._bytes_acked()
        moved = acked - self._acked if self._acked >= 0 else self._unsent - unsent
        if moved > 0 or unsent < self._unsent:
            self._moved_at = now
        self._unsent, self._acked = unsent, acked
        limits = self.limits
        if now - self._moved_at >= limits.body_timeout - 0.001 or self._pace.too_slow(moved, now):
            if self.state is BUSY:
                self.cancel(errors.CLIENT_TIMEOUT)
            else:
                self.abort()
        elif self._stall is not None:
            self._stall.arm(min(now + _STALL_TICK, self._moved_at + limits.body_timeout))

    def _bytes_acked(self) -> int:
        """Bytes that the client's host has taken so far, by the kernel's own account; -1 where it keeps none."""
        raw = None if self.transport is None else self.transport.get_extra_info("socket")
        if raw is None:
            return -1
        try:
            info = raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
        except OSError:
            return -1
        return int(_BYTES_ACKED.unpack_from(info, _BYTES_ACKED_AT)[0]) if len(info) == _TCP_INFO_BYTES else -1
