"""The exchanges of the streams of one connection, and the tasks that run them.

An exchange begins after the read that brought its head: a stream that the same read resets begins none, and no endpoint
hears of it. The first few of a read begin at once, the others in turn with those of other connections.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from time import monotonic
from typing import Final

from gateway import errors
from gateway.core.clock import Clock
from gateway.core.exchange import Exchange
from gateway.core.message import RequestHead
from gateway.errors import GatewayError, Reason
from gateway.wire.buffers import BufferPool
from gateway.wire.connections import Service
from gateway.wire.h2.codes import CANCEL, INTERNAL_ERROR
from gateway.wire.h2.server_stream import H2ServerStream
from gateway.wire.h2.session import NO_REQUEST, Session, Shared
from gateway.wire.h2.states import ResponseState

_AT_ONCE: Final = 8
"""Exchanges that one read may begin without waiting for a turn."""
_MAX_IDLE_TASKS: Final = 8

DONE: Final = ResponseState.DONE  # bound once: Python 3.11 takes 0.13 us to look a member up


class _Runner:
    """A task that runs exchanges, one after the other: to make one for each costs more."""

    __slots__ = ("running", "stream", "task", "wake", "work")

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.wake: asyncio.Future[None] | None = None
        self.stream: H2ServerStream | None = None
        self.work: Coroutine[None, None, None] | None = None
        """What it is to run next."""
        self.running = False
        """It has begun to."""


class Exchanges(Session):
    """Base of `H2Server`."""

    __slots__ = ("_idle", "_queued", "_runners")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, buffers: BufferPool, shared: Shared, service: Service, clock: Clock
    ) -> None:
        super().__init__(loop, buffers, shared, service, clock)
        self._runners: dict[H2ServerStream, _Runner] = {}
        """By the streams whose exchanges run."""
        self._idle: list[_Runner] = []
        self._queued = 0
        """Streams that stand in line for a turn."""

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._end_all(errors.CLIENT_GONE)
        self._fresh.clear()
        for runner in self._idle:
            if runner.wake is not None and not runner.wake.done():
                runner.wake.set_result(None)
        self._idle.clear()

    @property
    def http_version(self) -> str:
        return "2"

    @property
    def exchanges(self) -> Sequence[Exchange]:
        return [stream.exchange for stream in self._runners if stream.exchange is not None]

    def _end_all(self, reason: Reason) -> None:
        """End the exchanges that run, as if they had failed for ``reason``, and every stream."""
        for stream in list(self._runners):
            self.interrupt(stream, reason)
        for stream in list(self.streams.values()):
            self._close(stream, ours=True)

    def _begin_exchanges(self) -> None:
        fresh = self._fresh
        left = 0 if self.answered or self._queued else _AT_ONCE
        if fresh:  # a read that begins nothing, as of a PING, does not free the next request from its turn
            self.answered = False
        while fresh and left:
            left -= 1
            self._begin_next()
        while self._queued < len(fresh):
            self._queued += 1
            self._service.turns.enter(self.loop, self._turn_came)

    def _turn_came(self) -> bool:
        self._queued -= 1
        return self._begin_next()

    def _begin_next(self) -> bool:
        """Begin the exchange of the next stream that has not been reset meanwhile; False when there is none."""
        while self._fresh:
            stream = self._fresh.popleft()
            begin = self._open.pop(stream, None)
            if begin is not None:
                self._begin(stream, begin)
                return True
        return False

    def _begin(self, stream: H2ServerStream, begin: GatewayError | RequestHead) -> None:
        service = self._service
        if isinstance(begin, RequestHead):
            stream.exchange = exchange = Exchange(stream, begin, monotonic())
            work = service.serve(exchange)
        else:
            stream.exchange = exchange = Exchange(stream, NO_REQUEST, monotonic())
            work = service.refuse(exchange, begin)
        runner = self._idle.pop() if self._idle else _Runner()
        runner.stream, runner.work, runner.running = stream, work, False
        self._runners[stream] = runner
        if runner.wake is not None:
            runner.wake.set_result(None)
        else:
            runner.task = self.loop.create_task(self._serve(runner))

    def interrupt(self, stream: H2ServerStream, reason: Reason) -> None:
        """As `Session.interrupt`. Not when the caller has the whole response: the exchange is about to end."""
        tunnel = stream.tunnel
        if tunnel is not None and reason is not errors.DRAINING and not stream.delivering and not tunnel.caller_lost():
            return  # the tunnel ends, and the exchange with it
        runner, exchange = self._runners.get(stream), stream.exchange
        if runner is None or exchange is None or runner.task is None or stream.response_state is DONE:
            return
        if not exchange.reason:
            exchange.reason = reason.code
        if reason is errors.CLIENT_GONE and not exchange.gone_at:
            exchange.gone_at = monotonic()
        runner.task.cancel()
        if not runner.running and runner.work is not None:  # before its first step, which will not come
            runner.work.close()
            runner.work = None
            self._forget(stream)

    async def _serve(self, runner: _Runner) -> None:
        try:
            while True:
                stream, work = runner.stream, runner.work
                if stream is None or work is None:
                    return
                runner.work, runner.running = None, True
                try:
                    await work
                finally:
                    self._after_exchange(stream)
                runner.stream, runner.running = None, False
                if self.transport is None or len(self._idle) >= _MAX_IDLE_TASKS:
                    return
                runner.wake = self.loop.create_future()
                self._idle.append(runner)
                await runner.wake
        except asyncio.CancelledError:
            pass
        except Exception as error:
            # Layers respond to their errors; what still gets here must not leave a caller waiting.
            self.loop.call_exception_handler(
                {"message": "an exchange failed", "exception": error, "protocol": self.protocol}
            )

    def _forget(self, stream: H2ServerStream) -> None:
        stream.exchange = None
        self._runners.pop(stream, None)
        stream.stop_body()
        if stream.leaving:
            stream.leaving = False
            self._leaving -= 1
            self._stream_over()

    def _after_exchange(self, stream: H2ServerStream) -> None:
        self._forget(stream)
        tunnel = stream.tunnel
        if tunnel is not None and tunnel.clean:
            stream.finish()
        if not stream.ending:
            self.reset_stream(stream, INTERNAL_ERROR if tunnel is None else CANCEL)
        elif stream.response_state is DONE:
            self.response_ended(stream.ident)
