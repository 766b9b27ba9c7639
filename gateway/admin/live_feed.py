"""Polls the data plane once a second while at least one subscriber watches, once for all of them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import orjson

from gateway.admin.errors import AdminError
from gateway.admin.live import Live
from gateway.admin.rates import Rates
from gateway.admin.snapshot import unreachable

_log = logging.getLogger(__name__)

_KEPT: Final = 200
"""Refusals that are kept for a subscriber that falls behind."""
_KEPT_BYTES: Final = 512 << 10
"""Bounds their lines: clients choose the length of a path, and a subscriber may get all of them in one event."""

Line = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Frame:
    """JSON texts, made once for all subscribers. ``refusals``: those new to this subscriber, oldest first."""

    state: bytes
    refusals: tuple[bytes, ...]


class LiveFeed:
    """``most``: subscribers at a time. ``period``: seconds between two polls."""

    def __init__(self, live: Live, *, period: float = 1.0, most: int = 16) -> None:
        self._live = live
        self._period = period
        self._most = most
        self._subscribers: set[Subscriber] = set()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._failed = False
        self.latest: bytes | None = None
        """The state as JSON; None without a subscriber."""
        self._refusals: deque[tuple[int, bytes]] = deque()
        self._refusals_size = 0
        self._numbers = itertools.count(1)

    def check_room(self) -> None:
        """Raises `AdminError` when no further subscriber is admitted."""
        if self._closed or len(self._subscribers) >= self._most:
            details = f"{self._most} readers watch already; close another page and try again"
            raise AdminError(503, "too_many_streams", "Service Unavailable", details, (), {"retry_after": 5})

    @contextmanager
    def subscriber(self) -> Iterator[Subscriber]:
        """Raises `AdminError` as `check_room`. The first subscriber starts the polling, the last one ends it."""
        self.check_room()
        subscriber = Subscriber(self)
        self._subscribers.add(subscriber)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._poll(), name="watch the data plane")
        try:
            yield subscriber
        finally:
            self._subscribers.discard(subscriber)
            if not self._subscribers:
                self._stop()

    async def aclose(self) -> None:
        """Close all subscribers and refuse new ones."""
        self._closed = True
        for subscriber in self._subscribers:
            subscriber.end()
        task = self._task
        self._stop()
        if task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def refusals_after(self, number: int) -> list[tuple[int, bytes]]:
        return [entry for entry in self._refusals if entry[0] > number]

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._task = None
        self.latest = None
        self._refusals.clear()
        self._refusals_size = 0

    def _keep(self, lines: Sequence[Line]) -> None:
        for line in lines:
            text = orjson.dumps(line)
            self._refusals.append((next(self._numbers), text))
            self._refusals_size += len(text)
        while self._refusals_size > _KEPT_BYTES or len(self._refusals) > _KEPT:
            self._refusals_size -= len(self._refusals.popleft()[1])

    async def _poll(self) -> None:
        rates, since = Rates(), 0
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            snapshot, fresh = unreachable(), None
            try:
                async with asyncio.timeout(max(self._period, 1.0)):
                    snapshot = await self._live.snapshot()
                    fresh = await self._live.refusals(since)
                self._failed = False
            except Exception as error:
                # Subscribers get a frame that says "unreachable", and the polling goes on.
                if not self._failed:
                    _log.warning("the data plane could not be polled: %s", error or type(error).__name__)
                self._failed = True
            if fresh is not None:
                since = fresh["next"]
                self._keep(fresh["items"])
            self.latest = orjson.dumps(rates.of(snapshot))
            for subscriber in self._subscribers:
                subscriber.wake()
            due = max(due + self._period, loop.time())
            await asyncio.sleep(due - loop.time())


class Subscriber:
    """One live view. A slow subscriber misses frames; refusals are kept for a while."""

    def __init__(self, feed: LiveFeed) -> None:
        self._feed = feed
        self._woken = asyncio.Event()
        self.ended = False
        self._seen = 0
        if feed.latest is not None:
            self._woken.set()

    def wake(self) -> None:
        self._woken.set()

    def end(self) -> None:
        self.ended = True
        self._woken.set()

    async def frame(self) -> Frame | None:
        """The next frame; None when there is nothing to send, as at the end."""
        await self._woken.wait()
        self._woken.clear()
        latest = self._feed.latest
        if self.ended or latest is None:
            return None
        fresh = self._feed.refusals_after(self._seen)
        if fresh:
            self._seen = fresh[-1][0]
        return Frame(latest, tuple(line for _, line in fresh))
