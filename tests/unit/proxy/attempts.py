"""Attempts at requests that a test lets respond, fail and end, one by one, and the timers of their hedges."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from unit.machines import turns
from unit.scene import Clock

from gateway.core.attempt import Attempt
from gateway.core.exchange import Exchange
from gateway.core.message import ResponseHead
from gateway.core.stream import Sink
from gateway.errors import GatewayError


class Timer:
    """An alarm that a test lets go off."""

    def __init__(self, seconds: float, call: Callable[[], None]) -> None:
        self.seconds = seconds
        self._call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def fire(self) -> None:
        if not self.cancelled:
            self.cancelled = True
            self._call()


class Stream:
    """The endpoint's side of an attempt: it can be failed."""

    def __init__(self, end: Callable[[BaseException], None]) -> None:
        self.failed = False
        self._end = end

    def fail(self, error: GatewayError) -> None:
        self.failed = True
        self._end(error)


class Run:
    """An attempt that runs, with its exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.stream = Stream(self.end)
        self.ending: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sink: Sink | None = None
        self.over = False

    def head(self, status: int = 200) -> bool:
        """The head of a response comes; whether the caller gets it."""
        ex = self.exchange
        ex.status = status
        ex.attempt.first_byte_at = 1.0
        head = ResponseHead(status, b"", 1, [], {}, 0, keep_alive=True)
        assert ex.retries is not None
        self.sink = ex.retries.discard(head, cast(Any, self.stream))
        if self.sink is None:
            ex.committed = True
            ex.retries.begun()
        return self.sink is None

    def end(self, error: BaseException | None = None) -> None:
        if self.ending.done():
            return
        if error is None:
            self.ending.set_result(None)
        else:
            self.ending.set_exception(error)

    async def respond(self, status: int = 200) -> bool:
        """The whole response comes."""
        taken = self.head(status)
        self.end()
        await turns()
        return taken

    async def fail(self, error: BaseException) -> None:
        self.end(error)
        await turns()


class Attempts:
    """A handler, and an alarm."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.runs: list[Run] = []
        self.timers: list[Timer] = []
        self.refusing: GatewayError | None = None
        """Raised by the attempts to come, which are not sent."""

    def alarm(self, seconds: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        timer = Timer(seconds, call)
        self.timers.append(timer)
        return cast(asyncio.TimerHandle, timer)

    async def __call__(self, ex: Exchange) -> None:
        if self.refusing is not None:
            raise self.refusing
        run = Run(ex)
        self.runs.append(run)
        ex.attempts += 1
        ex.attempt = Attempt(f"endpoint-{len(self.runs)}")
        ex.attempt.asked_at = self.clock()
        try:
            await run.ending
        except GatewayError:
            if ex.retries is None or not ex.retries.discarding:  # as `send`
                raise
        finally:
            run.over = True

    async def pass_time(self, seconds: float) -> None:
        """The newest timer goes off, so many seconds later."""
        self.clock.now += seconds
        self.timers[-1].fire()
        await turns()
