"""Long bodies of responses, taken piece by piece: only what the caller has not taken yet is in memory."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Final

from gateway.actions.call import Ended, Opening
from gateway.ipc.calls import LOST, Called, Failure, Piece

PATIENCE: Final = 60.0
"""Seconds for which a piece waits to be taken. After that the call ends, because its caller must have left."""
GRACE: Final = 2.0
"""Seconds that a drain leaves at least for taking what is there: also when it has cut the calls, because what is left
of a body says why it breaks off."""


async def until_taken(work: Coroutine[None, None, Ended], opening: Opening) -> Ended:
    """``work``, which fills ``opening``; over when also the last piece is taken, because it is in memory until then."""
    ended = await work
    while opening.given and opening.stream is not None and opening.stream.received:
        opening.taken.clear()
        await opening.taken.wait()
    return ended


Make = Callable[[Opening], Coroutine[None, None, Ended]]


@dataclass(slots=True, eq=False)
class _Body:
    """One that has not ended. ``timer`` ends it when it is not taken."""

    task: asyncio.Task[Ended]
    opening: Opening
    failure: Callable[[Ended], Failure | None]
    timer: asyncio.TimerHandle


class Bodies:
    """Those of one data plane, by the name that `Called` has for the rest. ``patience``, ``grace``: seconds, as
    `PATIENCE` and `GRACE`."""

    def __init__(self, patience: float = PATIENCE, grace: float = GRACE) -> None:
        self._patience = patience
        self._grace = grace
        self._open: dict[str, _Body] = {}
        self._fewer = asyncio.Event()
        """Set when one has ended."""

    async def begin(
        self, make: Make, result: Callable[[Ended], Called], failure: Callable[[Ended], Failure | None]
    ) -> Called:
        """Make a call. A short response is the ``result`` as a whole; a longer one has a ``rest``.

        ``failure``: why a call that has ended has no whole response.
        """
        opening = Opening()
        task = asyncio.get_running_loop().create_task(make(opening), name="call with a long response")
        task.add_done_callback(lambda _: opening.changed.set())
        try:
            while not (task.done() or opening.given):
                opening.changed.clear()
                await opening.changed.wait()
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise
        stream, exchange = opening.stream, opening.exchange
        if not opening.given or stream is None or exchange is None:
            return result(await task)
        complete, stream.complete = stream.complete, True  # its head is as good as that of a whole one
        called = result(Ended(exchange, stream, None))
        stream.complete = complete
        stream.take()
        opening.taken.set()
        called["rest"] = name = secrets.token_hex(16)
        self._open[name] = _Body(task, opening, failure, self._timer(name))
        return called

    async def piece(self, name: str) -> Piece:
        """Wait for the next one. Raises OSError for a body that is not there any more."""
        body = self._open.get(name)
        if body is None:
            raise OSError(LOST)
        body.timer.cancel()
        stream, changed = body.opening.stream, body.opening.changed
        assert stream is not None
        try:
            while not (stream.received or body.task.done()):
                changed.clear()
                await changed.wait()
        except asyncio.CancelledError:
            self.leave(name)
            raise
        if self._open.get(name) is not body:  # left meanwhile
            raise OSError(LOST)
        data = stream.take()
        body.opening.taken.set()
        if data or not body.task.done():
            body.timer = self._timer(name)
            return {"data": data, "done": False, "failure": None}
        del self._open[name]
        self._fewer.set()
        return {"data": b"", "done": True, "failure": body.failure(await body.task)}

    def leave(self, name: str) -> None:
        """End the call of this body; nothing happens when it has ended."""
        body = self._open.pop(name, None)
        if body is not None:
            self._fewer.set()
            body.timer.cancel()
            body.task.cancel()

    async def drain(self, timeout: float) -> bool:
        """Wait ``timeout`` seconds, at least the grace, until all have been taken, then end their calls. True when all
        were."""
        try:
            async with asyncio.timeout(max(timeout, self._grace)):
                while self._open:
                    self._fewer.clear()
                    await self._fewer.wait()
        except TimeoutError:
            self.close()
            return False
        return True

    def close(self) -> None:
        """End all calls."""
        for name in list(self._open):
            self.leave(name)

    def _timer(self, name: str) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(self._patience, self.leave, name)
