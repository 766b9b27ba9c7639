"""Tells callers of event streams who wait in the queue where they stand: ``: queued position=3``.

A comment needs a response, so the first one sends its head, and with it the status 200. Until then a rejection has its
own status: the first comment is sent after a wait of ``interval`` at the least.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from gateway.config.records import Cors
from gateway.core.exchange import Exchange
from gateway.core.message import RequestHead
from gateway.policy.limiter import Limiter, Waiter
from gateway.proxy.cors import cors_fields
from gateway.proxy.event_watch import EVENTS
from gateway.proxy.opened_stream import OpenedStream
from gateway.proxy.websocket import wants_websocket

_ACCEPT: Final = b"accept:"


def accepts_events(request: RequestHead) -> bool:
    """The caller names ``text/event-stream`` in Accept (RFC 9110 12.5.1); ``*/*`` does not mean it."""
    for line in request.fields:
        if line[: len(_ACCEPT)].lower() == _ACCEPT:
            for entry in line[len(_ACCEPT) :].lower().split(b","):
                media, *parameters = [part.strip() for part in entry.split(b";")]
                if media == EVENTS:
                    return not any(_is_zero(parameter) for parameter in parameters)
    return False


def _is_zero(parameter: bytes) -> bool:
    name, _, value = parameter.partition(b"=")
    return name.strip() == b"q" and value.strip().strip(b"0.") == b""


class Timer(Protocol):
    def cancel(self) -> None: ...


CallLater = Callable[[float, Callable[[], None]], Timer]


class _Waiting(NamedTuple):
    exchange: Exchange
    since: float


class QueueComments:
    """Of the requests of one route that wait for ``limiter``. Its timer runs only while there are such requests."""

    __slots__ = ("_call_later", "_cors", "_interval", "_limiter", "_timer", "_waiting")

    def __init__(self, limiter: Limiter, interval: float, cors: Cors, call_later: CallLater | None = None) -> None:
        """``interval``: seconds between two looks at who waits. The clock is that of ``limiter``."""
        self._limiter = limiter
        self._interval = interval
        self._cors = cors
        self._call_later = call_later
        self._timer: Timer | None = None
        self._waiting: dict[Waiter, _Waiting] = {}

    def are_for(self, ex: Exchange) -> bool:
        """Whether the caller can be sent comments: it wants events, and takes a response before it has sent a body."""
        request = ex.request
        if request.method == b"HEAD" or ex.downstream.awaits_continue or wants_websocket(request):
            return False
        return accepts_events(request)

    def enter(self, ex: Exchange, waiter: Waiter) -> None:
        """``ex`` begins to wait, until ``waiter`` is done."""
        self._waiting[waiter] = _Waiting(ex, self._limiter.clock())
        waiter.add_done_callback(self._leave)
        if self._timer is None:
            self._start()

    def look(self) -> None:
        """Send a comment to each who has waited for ``interval``. All positions are counted in one pass."""
        self._timer = None
        if not self._waiting:
            return
        self._start()
        before = self._limiter.clock() - self._interval
        for waiter, position in self._limiter.positions():
            waiting = self._waiting.get(waiter)
            if waiting is not None and waiting.since <= before:
                self._tell(waiting.exchange, position)

    def _tell(self, ex: Exchange, position: int) -> None:
        opened = ex.opened
        if opened is None:
            ex.opened = opened = OpenedStream(ex, self._lines(ex))
        opened.comment(b"queued position=%d" % position)

    def _lines(self, ex: Exchange) -> bytes:
        lines = b"X-Request-Id: %b\r\n" % ex.request_id
        if ex.quota is not None:
            lines += ex.quota.lines()
        if self._cors.allow_origins:
            lines += cors_fields(self._cors, ex.request.fields)
        return lines

    def _start(self) -> None:
        call_later = self._call_later or asyncio.get_running_loop().call_later
        self._timer = call_later(self._interval, self.look)

    def _leave(self, waiter: Waiter) -> None:
        del self._waiting[waiter]
        if not self._waiting and self._timer is not None:
            self._timer.cancel()
            self._timer = None
