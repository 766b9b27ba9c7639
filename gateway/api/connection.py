"""One connection to the API: aiohttp's, with bounds on time and seats, and with our error bodies."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable
from typing import Final, TypeVar

from aiohttp import http_exceptions, web

from gateway.admin.seats import Seat, Seats
from gateway.api.responses import (
    HEAD_TOO_LARGE,
    INTERNAL,
    NO_REQUEST,
    EventStream,
    LongBody,
    of_http,
    refusal,
    send_slices,
)
from gateway.api.times import Times

Result = TypeVar("Result")

_log = logging.getLogger(__name__)

BROKEN_OFF: Final = (web.RequestPayloadError, http_exceptions.HttpProcessingError, ConnectionError)


class Connection(web.RequestHandler):
    """aiohttp's connection with our error bodies: its own would show its version, and quote the input."""

    __slots__ = ("_answer_seconds", "_busy", "_head_seconds", "_head_timer", "_seats", "of_caller", "seat")

    def __init__(self, server: web.Server, times: Times, seats: Seats, seat: Seat | None = None) -> None:
        """``seat``: the one that it has already, from before its TLS handshake."""
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=times.idle,
            lingering_time=2.0,
            access_log=None,  # type: ignore[arg-type] # it is how aiohttp itself turns it off
            auto_decompress=False,
        )
        self._answer_seconds = times.answer
        self._head_seconds = times.head
        self._head_timer: asyncio.TimerHandle | None = None
        self._busy = False
        """A whole head has arrived, and its response is not complete."""
        self.of_caller: asyncio.Task[object] | None = None
        """What ends when the client leaves; None: nothing that runs."""
        self._seats = seats
        self.seat = seat

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.seat is None:
            self.seat = self._seats.taken(client_of(transport), self._cut)
        else:
            self.seat.cut = self._cut
        if self.seat is None:
            self._cut()
        else:
            self._await_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._end_head()
        if self.of_caller is not None:
            self.of_caller.cancel()
        if self.seat is not None:
            self._seats.leave(self.seat)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if data and not self._busy and self._head_timer is None:
            self._await_head()  # the first byte of a later head
        super().data_received(data)
        if self._messages and not self._busy:
            self._busy = True
            self._end_head()
            if self.seat is not None:
                self.seat.waits_since = None

    async def while_there(self, work: Awaitable[Result]) -> Result:
        """The result of ``work``, which is cancelled when the client leaves."""
        self.of_caller = asyncio.current_task()
        try:
            return await work
        finally:
            self.of_caller = None

    def waits(self) -> None:
        """Wait for the client."""
        if self.seat is not None:
            self._seats.waits(self.seat)

    def works(self) -> None:
        """The gateway serves a request."""
        if self.seat is not None:
            self.seat.waits_since = None

    def _await_head(self) -> None:
        self._head_timer = asyncio.get_running_loop().call_later(self._head_seconds, self._cut)

    def _end_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _cut(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the response to a client that reads it in time. A rejection by aiohttp gets our error body."""
        if isinstance(resp, web.HTTPException):
            resp = refusal(request, of_http(resp), resp.headers.get("Allow", ""))
        try:
            with contextlib.suppress(ConnectionError):
                if isinstance(resp, EventStream):
                    await resp.pump(request)
                elif isinstance(resp, LongBody):
                    await resp.pump(request, self.while_there)
            self.waits()
            with contextlib.suppress(ConnectionError):
                if isinstance(resp, web.Response):
                    await send_slices(request, resp, self._answer_seconds)
            async with asyncio.timeout(self._answer_seconds):
                return await super().finish_response(request, resp, start_time)
        except TimeoutError:
            self._cut()
            return resp, True
        finally:
            self._busy = bool(self._messages)  # pipelined ones
            if self._busy:
                self.works()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """The response to bytes that are not a request; it does not quote them."""
        if status < 500:
            _log.debug("a request could not be read: %s", type(exc).__name__)
            too_long = isinstance(exc, http_exceptions.LineTooLong)
            error = HEAD_TOO_LARGE if too_long else NO_REQUEST
        else:
            _log.error("the control plane failed", exc_info=exc)
            error = INTERNAL
        answer = refusal(request, error)
        answer.force_close()
        return answer

    def log_exception(self, *args: object, **more: object) -> None:
        """A truncated body is not our failure, and its traceback would quote it."""
        error = more.get("exc_info")
        if isinstance(error, BROKEN_OFF):
            _log.debug("a connection ended: %s", type(error).__name__)
        else:
            known = error if isinstance(error, BaseException) else None
            _log.error("a connection to the control plane failed", exc_info=known)


def client_of(transport: asyncio.BaseTransport) -> str:
    """The peer's IP address; "" for one on a Unix socket, and for one that has left already."""
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) else ""
