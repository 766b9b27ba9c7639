"""Where the response of an attempt goes: to the caller's stream, as the response of the exchange."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final

from gateway import errors
from gateway.core.event_stream import Opened
from gateway.core.exchange import Exchange
from gateway.core.message import HTTP_2, OutgoingRequest, ResponseHead
from gateway.core.quota import Quota
from gateway.core.stream import ClientStream, Sink, Source
from gateway.proxy.discard import Discard
from gateway.proxy.grpc import status_of_head
from gateway.proxy.kept_response import discard
from gateway.proxy.layers.fall_back import Discards
from gateway.proxy.layers.server_timing import Times, timing_fields
from gateway.proxy.locations import Locations, with_fields
from gateway.proxy.watched import Watched

CONTINUE_SECONDS = 1.0
"""How long an upstream may take to respond to ``Expect: 100-continue`` before the body is sent anyway."""

_QUOTA_FIELDS: Final = (b"ratelimit", b"ratelimit-policy")
_CONTINUE: Final = ResponseHead(100, b"Continue", 1, [], {}, 0, True)


@dataclass(frozen=True, slots=True)
class Treatment:
    """What a route does with responses. ``locations`` None: paths stay as they are. ``watched``: how their bodies are
    read as they pass; None: they are not. ``discards``: which responses are left to the fallback; None: none.
    ``reported``: looks at what the endpoint says of itself, and gives the fields that callers get, where those are
    others; None: nothing looks.
    ``most``: bytes that the body of a response may have, where a `gateway.proxy.bounded.BoundedRelay` takes it.
    """

    locations: Locations | None
    watched: Watched | None
    discards: Discards | None = None
    reported: Callable[[ResponseHead], list[bytes] | None] | None = None
    most: int = 0
    plain: bool = False
    """There is nothing of ``watched``, ``discards`` and ``reported``, and so no need to look for each."""

    def heeded(self, head: ResponseHead) -> ResponseHead:
        """``head`` for the caller, when what the endpoint says of itself is noted."""
        kept = None if self.reported is None else self.reported(head)
        return head if kept is None else with_fields(head, kept)


class Relay:
    """The `gateway.core.stream.Reply` of a request whose body, if any, went out with its head."""

    __slots__ = ("_lines", "exchange", "stream", "treatment")

    def __init__(self, exchange: Exchange, stream: ClientStream, lines: bytes, treatment: Treatment) -> None:
        """``lines``: field lines for the caller, each ended by CRLF."""
        self.exchange = exchange
        self.stream = stream
        self._lines = lines
        self.treatment = treatment

    @property
    def key(self) -> bytes:
        """The line that the request needs besides those of the caller; empty but for a `Bridge`."""
        return b""

    @property
    def _times(self) -> Times:
        """What knows when the bytes of the response came."""
        return self.stream

    def interim(self, head: ResponseHead) -> None:
        """Pass a 1xx on. When a body was sent, no ``100 Continue`` is due; a response that is not for the caller has
        none."""
        ex = self.exchange
        if ex.retries is not None and ex.retries.discarding:
            return
        if head.status != 100 or not ex.request.length:
            self._pass_on(head)

    def _pass_on(self, head: ResponseHead) -> None:
        """Behind a head that came early a 1xx would be a part of the body."""
        if self.exchange.opened is None:
            self.exchange.downstream.interim(head)

    def begin(self, head: ResponseHead, source: Source | None) -> Sink:
        """Commit: from here on the caller has a part of this response. Or not, when another attempt follows, or the
        fallback takes over; or not yet, when one may follow until its first event."""
        ex = self.exchange
        ex.status = head.status
        treatment = self.treatment
        if treatment.plain and ex.retries is None and ex.opened is None:
            self._commit(head, source)
            return ex.downstream
        if treatment.reported is not None:  # of each response, also of one that the caller does not get
            head = treatment.heeded(head)
        if ex.retries is not None:
            nowhere = ex.retries.discard(head, self.stream, self.give_later)
            if nowhere is not None:
                return nowhere
        return self._take(head, source)

    def give_later(self, ex: Exchange, head: ResponseHead) -> Sink:
        """Begin a response that was not for the caller: as that of ``ex``, which is the exchange of the request where
        the attempt had one of its own. It has ended, so its body follows at once."""
        return _Late(ex, self.stream, self._lines, self.treatment)._take(head, None)  # noqa: SLF001 - of one class

    def give_anyway(self, ex: Exchange, head: ResponseHead) -> Sink:
        """As `give_later`, of a response that was left to the fallback."""
        return _Late(ex, self.stream, self._lines, self.treatment)._give(head, None)  # noqa: SLF001 - of one class

    def _take(self, head: ResponseHead, source: Source | None) -> Sink:
        ex, treatment = self.exchange, self.treatment
        discards = treatment.discards
        if discards is not None and discards(ex, head.status):
            return self._discard(head)
        return self._give(head, source)

    def _give(self, head: ResponseHead, source: Source | None) -> Sink:
        ex, treatment = self.exchange, self.treatment
        if ex.opened is not None:
            return self._go_on(ex.opened, head, source)
        watched = treatment.watched
        if watched is not None:
            return watched.sink(ex, self.stream, head, self._commit, source)
        self._commit(head, source)
        if ex.retries is not None:
            ex.retries.begun()
        return ex.downstream

    def _commit(self, head: ResponseHead, source: Source | None) -> None:
        ex = self.exchange
        if ex.request.minor == HTTP_2:
            ex.grpc_status = status_of_head(ex.request, head)
        ex.committed = True
        ex.body = None  # a response may go on for minutes, and no other attempt follows
        if ex.keeper is not None:
            ex.keeper.forget()
        ex.streamed = head.length < 0
        locations = self.treatment.locations
        if locations is not None:
            head = locations.rewritten(head, ex.request.known.get(b"host", b""))
        lines, trailer = self._lines, None
        if ex.quota is not None:
            head, lines = _with_quota(head, lines, ex.quota)
        if ex.timed:
            timing, trailer = timing_fields(ex, self._times)
            lines += timing
        ex.downstream.begin(head, lines, source, trailer)
        ex.commit_at = monotonic()

    def _go_on(self, opened: Opened, head: ResponseHead, source: Source | None) -> Sink:
        """The caller has a head already: the response goes on behind it, or does not fit."""
        if not opened.takes(head):
            opened.unfit = nowhere = self._nowhere(head)
            return nowhere
        ex, watched = self.exchange, self.treatment.watched
        if watched is not None:
            return watched.sink(ex, self.stream, head, self._attach, source)
        self._attach(head, source)
        if ex.retries is not None:
            ex.retries.begun()
        return ex.downstream

    def _attach(self, head: ResponseHead, source: Source | None) -> None:
        """As `_commit`. The fields of ``head`` are lost, because the caller has others."""
        ex = self.exchange
        ex.committed = ex.streamed = True
        ex.body = None
        if ex.keeper is not None:
            ex.keeper.forget()
        if ex.opened is not None:
            ex.opened.attach(source)
        ex.commit_at = monotonic()

    def _discard(self, head: ResponseHead) -> Sink:
        """Leave the response to the fallback."""
        ex = self.exchange
        if ex.keeper is None:
            ex.discarded = nowhere = self._nowhere(head)
            return nowhere
        ex.discarded = kept = ex.keeper.discard(head, self.stream, self.give_anyway, complete=end_of_body(ex))
        return kept

    def _nowhere(self, head: ResponseHead) -> Discard:
        return discard(head, self.stream, None, None, complete=end_of_body(self.exchange))

    def switch(self, head: ResponseHead) -> None:
        """Commit: the exchange becomes a tunnel, which the layers above wait for."""
        ex = self.exchange
        ex.status = head.status
        ex.committed = True
        head = self.treatment.heeded(head)
        locations = self.treatment.locations
        if locations is not None:
            head = locations.rewritten(head, ex.request.known.get(b"host", b""))
        lines = self._lines
        if ex.quota is not None:
            head, lines = _with_quota(head, lines, ex.quota)
        if ex.timed:
            lines += timing_fields(ex, self._times)[0]
        ex.downstream.switch(head, lines, self.stream)
        ex.commit_at = monotonic()


class _Late(Relay):
    """Of a response that has ended: its stream may serve another request already."""

    __slots__ = ()

    @property
    def _times(self) -> Times:
        return self.exchange.attempt


def end_of_body(ex: Exchange) -> bool:
    """The attempt takes no more of the request's body; whether its endpoint has all of it."""
    if ex.retries is not None:
        return ex.retries.end_attempt()
    down = ex.downstream
    complete = down.body_complete
    if not complete:
        down.stop_body()
    return complete


def _with_quota(head: ResponseHead, lines: bytes, quota: Quota) -> tuple[ResponseHead, bytes]:
    """Our fields take the place of the upstream's. Two lists in one field would be one list for the caller (RFC 9110
    5.3), with two meanings of a name, and broken as a whole when the upstream follows an older draft.
    """
    if not quota.shown:
        return head, lines
    kept = [line for line in head.fields if line[: line.find(b":")].lower() not in _QUOTA_FIELDS]
    return head if len(kept) == len(head.fields) else with_fields(head, kept), lines + quota.lines()


class _Phase(enum.Enum):
    HELD = enum.auto()
    """The caller awaits a ``100 Continue`` before it sends the body."""
    RUNNING = enum.auto()
    """The body is relayed, or was."""


class Upload(Relay):
    """The reply of a request whose body is yet to come, or waits for ``100 Continue``; it relays that body."""

    __slots__ = ("_phase", "_response_header")

    def __init__(
        self,
        exchange: Exchange,
        stream: ClientStream,
        lines: bytes,
        treatment: Treatment,
        response_header: float,
    ) -> None:
        """``response_header``: seconds within which the response must begin after the last byte of the body."""
        super().__init__(exchange, stream, lines, treatment)
        self._response_header = response_header
        self._phase = _Phase.HELD if exchange.downstream.awaits_continue else _Phase.RUNNING

    async def run(self, request: OutgoingRequest, lines: bytes) -> None:
        """The whole attempt: raises `GatewayError`."""
        ex, stream = self.exchange, self.stream
        done = stream.send(request, lines, b"", self, ex.downstream.limits)
        ex.attempt.asked_at = now = monotonic()
        if self._phase is _Phase.RUNNING:
            self._relay_body()
            await done
            return
        self._expect_response(now)
        timer = asyncio.get_running_loop().call_later(CONTINUE_SECONDS, self._give_continue)
        try:
            await done
        finally:
            timer.cancel()

    def interim(self, head: ResponseHead) -> None:
        """Pass a 1xx on. A ``100 Continue`` starts the body; one that comes after ours is one too many."""
        if head.status != 100 or self._phase is _Phase.HELD:
            self._pass_on(head)
        if head.status == 100:
            self._start()

    def _give_continue(self) -> None:
        """The upstream is silent: send a ``100 Continue`` of our own."""
        if self._phase is _Phase.HELD and not self.exchange.committed:
            self.exchange.downstream.interim(_CONTINUE)
            self._start()

    def _start(self) -> None:
        if self._phase is _Phase.HELD and not self.exchange.committed:
            self._phase = _Phase.RUNNING
            self.stream.expect_by(0.0, errors.HEADER_TIMEOUT)
            self._relay_body()

    def _relay_body(self) -> None:
        ex = self.exchange
        if ex.retries is None:
            ex.downstream.pipe(self.stream, self._on_end)
        else:
            ex.retries.upload(self.stream, self._on_end)

    def _on_end(self) -> None:
        self.exchange.attempt.sent_at = now = monotonic()
        if not self.exchange.committed:
            self._expect_response(now)

    def _expect_response(self, now: float) -> None:
        bound = self._response_header
        self.stream.expect_by(now + bound if bound else 0.0, errors.HEADER_TIMEOUT)
