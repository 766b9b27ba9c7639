"""The server's side of HTTP/1.1: one client connection, its requests one after the other.

    WAITING --head--> BUSY --answer complete, body read--> WAITING      (keep-alive; pipelined heads are taken from
    the stash)
                      BUSY --answer complete, body small--> DRAINING --body read--> WAITING
                      BUSY --answer complete, no keep-alive--> LINGERING --EOF or time--> closed
    WAITING --idle too long, EOF--> closed

Each request runs in one task. A client that leaves while BUSY cancels it. LINGERING half-closes and reads on for a
moment: a close with unread bytes makes the kernel send a RST, which can destroy an answer that is still on its way.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import socket
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Protocol

from gateway import errors
from gateway.core.exchange import Exchange
from gateway.core.limits import Limits
from gateway.core.message import CHUNKED, RequestHead, ResponseHead
from gateway.errors import GatewayError, Reason
from gateway.wire.buffers import BufferPool
from gateway.wire.connection import Connection
from gateway.wire.framing import ChunkedDecoder
from gateway.wire.grammar import BARE_LINE_END, TOKEN_BYTES
from gateway.wire.head import HeadParser
from gateway.wire.headers import Forwarding, interim_head, own_head
from gateway.wire.upstream import State as UpstreamState
from gateway.wire.upstream import UpstreamConnection
from gateway.wire.watchdog import Watchdog

_log = logging.getLogger(__name__)

_MAX_STASH = 65536
_MAX_DRAIN = 65536
"""A request body up to this size is read to its end after an early answer, to keep the connection."""
_MAX_LINGER_BYTES = 1 << 20
_LINGER_SECONDS = 2.0
_PROBE_SECONDS = 0.05
_TCP_ESTABLISHED = 1
_NO_REQUEST = RequestHead(b"", b"", 1, [], {}, 0, False)


class Service(Protocol):
    """What a connection asks of the data plane."""

    @property
    def limits(self) -> Limits: ...
    @property
    def draining(self) -> bool: ...
    def trusts(self, address: str) -> bool:
        """Whether the peer's own X-Forwarded-* are believed."""
        ...

    def serve(self, exchange: Exchange) -> Coroutine[None, None, None]: ...
    def refuse(self, exchange: Exchange, error: GatewayError) -> Coroutine[None, None, None]:
        """Answer a request that could not be parsed."""
        ...

    def opened(self, connection: DownstreamConnection) -> None: ...
    def closed(self, connection: DownstreamConnection) -> None: ...


class State(enum.Enum):
    WAITING = enum.auto()
    BUSY = enum.auto()
    DRAINING = enum.auto()
    LINGERING = enum.auto()
    CLOSED = enum.auto()


WAITING, BUSY, DRAINING, LINGERING, CLOSED = State  # bound once: Python 3.11 takes 0.13 us to look a member up


class DownstreamConnection(Connection):
    __slots__ = (
        "_awaits_continue",
        "_body_sink",
        "_decoder",
        "_discarded",
        "_head_clock",
        "_keep_alive",
        "_last_head",
        "_last_request",
        "_left",
        "_limits",
        "_on_uploaded",
        "_parser",
        "_probe",
        "_reading",
        "_refused",
        "_scheme",
        "_service",
        "_stash",
        "_task",
        "_unsent",
        "_until_close",
        "_wake",
        "_work",
        "client",
        "exchange",
        "forwarding",
        "state",
        "watchdog",
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
        self.watchdog = Watchdog(loop, self._on_timeout)
        self.client = ""
        self.forwarding: Forwarding
        self.exchange: Exchange | None = None
        self._service = service
        self._scheme = scheme
        self._limits = service.limits
        self._task: asyncio.Task[None] | None = None
        self._work: Coroutine[None, None, None] | None = None
        """The exchange that the task is to run next."""
        self._wake: asyncio.Future[None] | None = None
        """Resolved when there is work again."""
        self._last_head = b""
        self._last_request: RequestHead | None = None
        self._stash = b""
        """Bytes that came and are not taken yet: a part of a head, a body nobody asked for, pipelined requests."""
        self._head_clock = False
        """A part of a head has come, and the clock for the rest of it runs."""
        self._refused = False
        """The request, or its body, could not be parsed: who knows what follows it."""
        self._reading = True
        self._probe: asyncio.TimerHandle | None = None
        # The request's body
        self._left = 0
        """Bytes to come; `CHUNKED` while a chunked body goes on."""
        self._decoder: ChunkedDecoder | None = None
        self._body_sink: UpstreamConnection | None = None
        self._on_uploaded: Callable[[], None] | None = None
        self._awaits_continue = False
        self._discarded = 0
        # The answer
        self._keep_alive = False
        self._until_close = False
        self._unsent = 0
        """Bytes that the client had not taken when last looked at."""

    # -- life

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername") or ("", 0)
        host = str(peer[0])
        self.client = f"[{host}]:{peer[1]}" if ":" in host else f"{host}:{peer[1]}"
        self.forwarding = Forwarding(host.encode(), self._scheme, self._service.trusts(host))
        self._service.opened(self)
        # Until it sends a first byte a connection is idle, as between two requests.
        self.watchdog.arm(monotonic() + (self._limits.keepalive_timeout or self._limits.header_timeout))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._service.closed(self)
        self.watchdog.close()
        self._interrupt(errors.CLIENT_GONE)
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
        self.state = CLOSED
        self._stash = b""

    def eof_received(self) -> None:
        # A client that half-closes while it waits counts as gone, as with nginx, Envoy and Go; the transport closes.
        return None

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
        if self.state is BUSY:
            if self._body_sink is not None:
                self._take_body(data, pooled=True)
                return
            self._stash += bytes(data)
            if len(self._stash) > _MAX_STASH:
                self._hold_reading()
        elif self.state is WAITING:
            self._stash = self._stash + bytes(data) if self._stash else bytes(data)
            self._advance()
        elif self.state is DRAINING:
            self._drain(bytes(data))
        elif self.state is LINGERING:
            self._discarded += len(data)
            if self._discarded > _MAX_LINGER_BYTES:
                self.abort()

    def _hold_reading(self) -> None:
        """Stop reading; a client that leaves is then seen by asking the kernel (epoll is silent meanwhile)."""
        if self._reading:
            self._reading = False
            self.pause_reading()
            self._probe = self.loop.call_later(_PROBE_SECONDS, self._probe_peer)

    def _read_on(self) -> None:
        if not self._reading:
            self._reading = True
            if self._probe is not None:
                self._probe.cancel()
                self._probe = None
            self.resume_reading()

    def _probe_peer(self) -> None:
        self._probe = None
        if self.transport is None or self._reading or self.state is not BUSY:
            return
        raw = self.transport.get_extra_info("socket")
        if raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != _TCP_ESTABLISHED:
            self.cancel(errors.CLIENT_GONE)
        else:
            self._probe = self.loop.call_later(_PROBE_SECONDS, self._probe_peer)

    def _advance(self) -> None:
        """Take the next head from the stash and start its exchange, or wait for more of it."""
        stash = self._stash
        while stash[:2] == b"\r\n":  # RFC 9112 2.2: empty lines before a request-line are ignored
            stash = self._stash = stash[2:]
        if not stash:
            return
        limits = self._limits
        end = stash.find(b"\r\n\r\n", 0, limits.max_header_bytes + 4)
        try:
            if end < 0:
                self._check_partial(stash)
                return
            self._stash = stash[end + 4 :]
            head = self._parse(stash[:end])
        except GatewayError as error:
            self._refuse(error)
            return
        self._left = head.length
        self._decoder = ChunkedDecoder(errors.BAD_FRAMING) if head.length == CHUNKED else None
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
            self._last_request = self._parser.request(head, self._limits)
            self._last_head = head
        return self._last_request

    def _check_partial(self, stash: bytes) -> None:
        """Refuse what can no longer become a good head; else bound the time for the rest of it."""
        limits = self._limits
        if len(stash) > limits.max_uri + 64 and b"\r\n" not in stash[: limits.max_uri + 64]:
            raise GatewayError(errors.URI_TOO_LONG, f"The request line exceeds {limits.max_uri} bytes")
        if BARE_LINE_END.search(stash) or stash[0] not in TOKEN_BYTES:
            raise GatewayError(errors.BAD_REQUEST, "The connection does not speak HTTP/1.1")
        if len(stash) > limits.max_header_bytes:
            raise GatewayError(errors.HEADERS_TOO_LARGE, f"The head exceeds {limits.max_header_bytes} bytes")
        if not self._head_clock:
            self._head_clock = True
            self.watchdog.arm(monotonic() + limits.header_timeout)

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
        self.watchdog.expires_at = 0.0
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
                    continue
                self._work = None
                try:
                    await work
                finally:
                    self.exchange = None
                    self._body_sink = None
                self._after_exchange()
        except asyncio.CancelledError:
            self.cut()
        except Exception:
            # Layers answer their errors; what still gets here must not leave a client waiting.
            _log.exception("an exchange of %s failed", self.client)
            self.cut()
        finally:
            self._task = None

    def _after_exchange(self) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        self._awaits_continue = False
        if not self._keep_alive or self._left > _MAX_DRAIN:
            self._linger()
        elif self._left == 0:
            self._next_request()
        else:
            self._discarded = 0
            self.state = DRAINING
            self.watchdog.arm(monotonic() + self._limits.body_timeout)
            self._read_on()
            stash, self._stash = self._stash, b""
            self._drain(stash)

    def _next_request(self) -> None:
        self.state = WAITING
        if not self._reading:
            self._read_on()
        self.watchdog.arm(monotonic() + self._limits.keepalive_timeout)
        if self._service.draining and self.transport is not None:
            self.transport.close()
        elif self._stash:
            self._advance()

    def _linger(self) -> None:
        transport = self.transport
        assert transport is not None
        if self._left == 0 and not self._stash and not self._refused:
            transport.close()
            return
        self.state = LINGERING
        self._discarded = 0
        self._stash = b""
        self._read_on()
        if transport.can_write_eof():
            transport.write_eof()
        self.watchdog.arm(monotonic() + _LINGER_SECONDS)

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
        body, self._stash = self._stash[:left], self._stash[left:]
        self._left = 0
        if self.exchange is not None:
            self.exchange.bytes_in += left
        return body

    @property
    def awaits_continue(self) -> bool:
        """The client sent ``Expect: 100-continue`` and holds its body back."""
        return self._awaits_continue and not self._stash

    def upload(self, sink: UpstreamConnection, on_uploaded: Callable[[], None]) -> None:
        """Relay the body to ``sink`` as it comes; ``on_uploaded`` is called after its last byte."""
        self._awaits_continue = False
        sink.receive_body(self, chunked=self._left == CHUNKED)
        self._body_sink = sink
        self._on_uploaded = on_uploaded
        self.watchdog.arm(monotonic() + self._limits.body_timeout)
        if not sink.write_paused:
            self._read_on()
        stash, self._stash = self._stash, b""
        if stash:
            self._take_body(memoryview(stash), pooled=False)

    def stop_upload(self) -> None:
        """The upstream wants no more of the body."""
        if self._body_sink is not None:
            self._body_sink = None
            self.watchdog.disarm()

    def _take_body(self, data: memoryview, *, pooled: bool) -> None:
        sink = self._body_sink
        assert sink is not None
        self.watchdog.arm(monotonic() + self._limits.body_timeout)
        try:
            payload, consumed = self._payload(data)
        except GatewayError as error:
            self._refused = True
            sink.fail_with(error)
            return
        sink.send_payload(payload, pooled=pooled)
        if self._left == 0:
            sink.end_body([] if self._decoder is None else self._decoder.trailers)
            self._body_sink = None
            self.watchdog.disarm()
            self._stash = bytes(data[consumed:])
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
            if self._decoder.done:
                self._left = 0
        if self.exchange is not None:
            self.exchange.bytes_in += sum(map(len, payload))
            if 0 < self._limits.max_body_bytes < self.exchange.bytes_in:
                raise GatewayError(
                    errors.BODY_TOO_LARGE, f"The request body exceeds {self._limits.max_body_bytes} bytes"
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
            self._stash = data[consumed:]
            self._next_request()

    def sink_blocked(self) -> None:
        # The upstream is slow to take the body: its time runs now, not the client's.
        self.watchdog.disarm()
        self._hold_reading()
        sink = self._body_sink
        if sink is not None and sink.state is UpstreamState.HEAD:
            sink.await_upload()

    def sink_ready(self) -> None:
        sink = self._body_sink
        if sink is not None:
            self.watchdog.arm(monotonic() + self._limits.body_timeout)
            if sink.state is UpstreamState.HEAD:
                sink.watchdog.disarm()
        self._read_on()

    # -- the answer

    def interim(self, head: ResponseHead) -> None:
        """Pass a 1xx on; HTTP/1.0 has none (RFC 9110 15.2)."""
        if head.status == 100:
            self._awaits_continue = False
        if self.exchange is not None and self.exchange.request.minor:
            self.write(interim_head(head))

    def frame(self, length: int) -> bytes:
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
            self.trailer = None
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
        self.trailer = None
        if not keep:
            return lines + b"Connection: close\r\n"
        return lines if minor else lines + b"Connection: keep-alive\r\n"

    def _may_persist(self) -> bool:
        if self._refused or self._service.draining or not self._limits.keepalive_timeout or self._awaits_continue:
            return False
        # A body that is still being uploaded may yet end; one that nobody takes is read to its end when it is small.
        return self._body_sink is not None or self._left <= _MAX_DRAIN

    def respond(self, status: int, fields: bytes, body: bytes) -> None:
        """An answer of the gateway's own; ``fields`` are whole lines, Content-Length is added."""
        assert self.exchange is not None
        self.stop_upload()
        framing = self.frame(len(body))
        head = own_head(status, b"%bContent-Length: %d\r\n%b" % (fields, len(body), framing))
        self.send_whole(head, memoryview(b"" if self.exchange.request.method == b"HEAD" else body))

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.state is BUSY and self.transport is not None:
            self._unsent = self.transport.get_write_buffer_size()
            self.watchdog.arm(monotonic() + self._limits.body_timeout)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.state is BUSY and self._body_sink is None:
            self.watchdog.disarm()

    # -- time

    def _on_timeout(self) -> None:
        if self.state is WAITING and self._stash:
            self._refuse(GatewayError(errors.CLIENT_TIMEOUT, "The head of the request did not come in time"))
        elif self.state is BUSY and self._body_sink is not None and not self.write_paused:
            self._body_sink.fail_with(GatewayError(errors.CLIENT_TIMEOUT, "The request body did not come in time"))
        elif self.state is BUSY and self.transport is not None:
            unsent = self.transport.get_write_buffer_size()
            if unsent < self._unsent:  # slow, but it reads
                self._unsent = unsent
                self.watchdog.arm(monotonic() + self._limits.body_timeout)
            else:
                self.cancel(errors.CLIENT_TIMEOUT)
        elif self.state is WAITING and self.transport is not None:
            self.transport.close()
        else:
            self.abort()
