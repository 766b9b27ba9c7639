"""The heads of requests, on the connection of their caller: found among the bytes, parsed, and made into exchanges."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from time import monotonic

from gateway import errors
from gateway.core.exchange import Exchange
from gateway.core.message import MAX_KEPT_HEAD, RequestHead
from gateway.errors import GatewayError
from gateway.wire.buffers import BufferPool
from gateway.wire.connections import Service
from gateway.wire.grammar import BARE_LINE_END, TOKEN_BYTES
from gateway.wire.h1.head import HeadParser
from gateway.wire.h1.server_stream import H1ServerStream
from gateway.wire.h1.states import ServerEvent, ServerState

_CR = 0x0D
SMALL_PART = 512
"""Bytes of a part of a head that is no segment of a large one."""
FREE_PARTS = 32
"""Such parts of one head that are read at once: as many as a client has that writes each field by itself."""
REST_SECONDS = 0.02
"""How much longer each further part waits than the one before it. Otherwise 500 clients that send heads byte by byte
over TLS raise the p99 of all others from 3 ms to 10 ms and more (`loadtest/attacks.py dripping-tls`).
"""
MOST_REST_SECONDS = 0.5
_NO_REQUEST = RequestHead(b"", b"", 1, [], {}, 0, False)
SERVING = ServerState.SERVING  # bound once: Python 3.11 takes 0.13 us to look a member up


class RequestHeads(H1ServerStream):
    """Base of `H1Server`, which runs the exchanges that begin here."""

    __slots__ = (
        "_large_request",
        "_last_head",
        "_last_request",
        "_parser",
        "_parts",
        "_scanned",
        "_task",
        "_wake",
        "_work",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, buffers: BufferPool, parser: HeadParser, service: Service
    ) -> None:
        super().__init__(loop, buffers, service)
        self._parser = parser
        self._work: Coroutine[None, None, None] | None = None
        """The exchange that is to run next."""
        self._task: asyncio.Task[None] | None = None
        """Runs the exchanges, one after the other."""
        self._wake: asyncio.Future[None] | None = None
        """What the task waits for when there is no work."""
        self._last_head = b""
        """Of `_last_request`, with the empty line that ended it."""
        self._last_request: RequestHead | None = None
        self._large_request: RequestHead | None = None
        """The request that is served, when its head is not kept for the next one."""
        self._scanned = 0
        """Bytes of the stash in which no end of a head was found: a head that drips is not scanned from its start."""
        self._parts = 0
        """Small parts of the head that is being read."""

    def _take_first(self, data: bytes) -> None:
        """What comes while nothing is stashed; most often it is one whole head, which is then not copied again."""
        if data != self._last_head:
            end = data.find(b"\r\n\r\n", 0, self.limits.max_header_bytes + 4)
            if end < 0 or data[0] == _CR:  # CR: empty lines before the request line
                self._stash += data
                self._advance()
                self._note_part(len(data))
                return
            end += 4
            if end < len(data):
                self._stash += data[end:]
                self._begin(data[:end])
                self._bound_stash()
                return
        self._begin(data)

    def _take_part(self, data: memoryview) -> None:
        """More of a head. One that comes in many small parts is read ever more rarely, to its timeout."""
        self._stash += data
        self._advance()
        self._note_part(len(data))

    def _note_part(self, size: int) -> None:
        """So many bytes came, which began no request: of a head, or empty lines before one."""
        if size < SMALL_PART and self.state is not SERVING:
            self._parts += 1
            if self._parts > FREE_PARTS:
                self.rest(min((self._parts - FREE_PARTS) * REST_SECONDS, MOST_REST_SECONDS))

    def _advance(self) -> None:
        """Take the next head from the stash and start its exchange, or wait for more of it."""
        stash = self._stash
        empty = 0
        while stash[empty : empty + 2] == b"\r\n":  # RFC 9112 2.2: empty lines before a request-line are ignored
            empty += 2
        if empty:
            del stash[:empty]
            self._scanned = 0
        if not stash:
            return
        if stash == b"\r":  # it may be the half of one more
            self.move(ServerEvent.PART)
            return
        end = stash.find(b"\r\n\r\n", max(0, self._scanned - 3), self.limits.max_header_bytes + 4)
        if end >= 0:
            head = bytes(stash[: end + 4])
            del stash[: end + 4]
            self._scanned = 0
            self._begin(head)
            self._bound_stash()
            return
        try:
            self._check_partial(stash)
        except GatewayError as error:
            self._refuse(error)
            return
        self._scanned = len(stash)
        self.move(ServerEvent.PART)

    def _begin(self, raw: bytes) -> None:
        """Start the exchange of the request whose head is ``raw``, with the empty line that ended it."""
        # A connection often repeats a request, byte for byte: polling, health checks, load tests.
        head = self._last_request
        if head is None or raw != self._last_head:
            try:
                head = self._parse(raw)
            except GatewayError as error:
                self._refuse(error)
                return
        if head.length:
            self._expect_body(head)
        else:
            self._left = 0
            self._awaits_continue = False
        exchange = Exchange(self, head, monotonic())
        self._start(exchange, self._service.serve(exchange))

    def _parse(self, raw: bytes) -> RequestHead:
        request = self._parser.request(raw[:-4], self.limits)
        if len(raw) > MAX_KEPT_HEAD:
            self._large_request = request
        else:
            self._last_request = request
            self._last_head = raw
        return request

    def _check_partial(self, stash: bytearray) -> None:
        """Reject what can no longer become a valid head."""
        limits = self.limits
        if len(stash) > limits.max_uri + 64 and stash.find(b"\r\n", 0, limits.max_uri + 64) < 0:
            raise GatewayError(errors.URI_TOO_LONG, f"The request line exceeds {limits.max_uri} bytes")
        if BARE_LINE_END.search(stash, max(0, self._scanned - 1)) or stash[0] not in TOKEN_BYTES:
            raise GatewayError(errors.BAD_REQUEST, "The connection does not speak HTTP/1.1")
        if len(stash) > limits.max_header_bytes:
            raise GatewayError(errors.HEADERS_TOO_LARGE, f"The head exceeds {limits.max_header_bytes} bytes")

    def _refuse(self, error: GatewayError) -> None:
        self._refused = True
        self._left = 0
        self._awaits_continue = False
        exchange = Exchange(self, _NO_REQUEST, monotonic())
        self._start(exchange, self._service.refuse(exchange, error))

    def _start(self, exchange: Exchange, work: Coroutine[None, None, None]) -> None:
        self.state = SERVING
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
        """Run one exchange after the other."""
        raise NotImplementedError
