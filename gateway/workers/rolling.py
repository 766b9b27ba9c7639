"""The rolling restart: workers are replaced by new processes, one slot after the other, while callers are served.

The new process starts in the other place of the slot, with the same listening sockets, and gets its configuration
before it accepts. Only then the old one stops accepting, finishes what runs, and ends. So no connection is refused, and
none waits. Both keep the limits together (`gateway.page.lone`). When a new process does not come to serve, it is ended,
and the old ones serve on.

One replacement at a time, and none while an old process still drains: a slot has two places, and a new process takes
memory that the old one has not given back yet.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Collection
from typing import Final

from gateway.core.tasks import Tasks
from gateway.workers.child import Child

_log = logging.getLogger("gateway")

START_SECONDS: Final = 60.0
"""Limit of the start of a new worker."""


class Rolling:
    """``children``: the list of the supervisor, which is changed in place. ``successor``: as in `Supervisor`.

    ``share``: returns when the limits of a worker are those of its successor, too. ``then``: called when a restart is
    over, though old workers may still drain.
    """

    def __init__(
        self,
        children: list[Child],
        successor: Callable[[Child], Child] | None,
        share: Callable[[Child], Awaitable[None]],
        then: Callable[[], object],
    ) -> None:
        self._children = children
        self._successor = successor
        self._share = share
        self._then = then
        self._starting: Child | None = None
        self._failed = asyncio.Event()
        self._tasks = Tasks()
        self.running = False
        """Workers are being replaced."""
        self._again = False
        """Another restart of all workers follows the one that is under way."""
        self._stopped = False

    def begin(self) -> None:
        """Replace all workers. While a replacement is under way, or an old worker drains: as soon as that is over, once
        for all calls. A caller wants processes that are newer than the call, so none is ignored.
        """
        if self.busy and self._successor is not None and not self._stopped:
            self._again = True
            _log.info("a replacement of workers is under way: a restart of all of them follows")
        else:
            self._begin([child for child in self._children if child.serves])

    def recycle(self, workers: Collection[Child]) -> bool:
        """Replace these of the children; False when that is not possible now, and nothing was done."""
        return self._begin([child for child in self._children if child in workers])

    def _begin(self, old: list[Child]) -> bool:
        if self._successor is None or self._stopped or self.busy or not old:
            return False
        self.running = True
        self._tasks.start(self._replace_all(old, self._successor), "replace workers")
        return True

    def _follow(self) -> None:
        if self._again and not self.busy:
            self._again = False
            self.begin()

    @property
    def busy(self) -> bool:
        """Workers are being replaced, or an old one still drains."""
        return self.running or any(child.leaving for child in self._children)

    def starts(self, child: Child) -> bool:
        """Whether it is the new process that is not ready yet."""
        return child is self._starting

    def ended(self, child: Child, how: str) -> None:
        """A process that was leaving, or the new one, has ended. ``how``: its exit code or signal."""
        if child is self._starting:
            _log.error("the new %s ended (%s) before it served", child.name, how)
            self._failed.set()
            return
        self._remove(child)
        _log.info("the %s that was replaced has ended (%s)", child.name, how)
        self._follow()

    def stop(self) -> None:
        """The gateway stops: no process is replaced any more."""
        self._stopped = True
        self._failed.set()

    async def aclose(self) -> None:
        self._stopped = True
        await self._tasks.aclose()

    async def _replace_all(self, old: list[Child], successor: Callable[[Child], Child]) -> None:
        _log.info("restart of %s", old[0].name if len(old) == 1 else f"{len(old)} workers")
        try:
            for worker in old:
                if not await self._replace(worker, successor(worker)):
                    if not self._stopped:
                        _log.error("the restart ends here: the old %s serves on", worker.name)
                    return
            if len(old) == 1:
                _log.info("the %s is new; what runs in the old process is finished there", old[0].name)
            else:
                _log.info("all workers are new; what runs in the old processes is finished there")
        finally:
            self.running = False
            self._then()
            self._follow()

    async def _replace(self, old: Child, new: Child) -> bool:
        """True when ``new`` serves, and ``old`` drains."""
        self._failed.clear()
        if self._stopped:
            return False
        self._starting = new
        self._children.insert(self._children.index(old), new)
        try:
            ready = await self._serves_beside(old, new)
        except OSError as error:
            _log.error("the new %s cannot be started: %s", new.name, error)
            ready = False
        finally:
            self._starting = None
        if not ready:
            new.leaving = True
            if new.process is None:
                self._remove(new)
            elif not self._stopped:  # else it drains
                new.kill()  # its end removes it
            return False
        old.leaving = True
        if old.process is None:  # it died meanwhile, and waits for its next start
            self._remove(old)
        else:
            old.signal(signal.SIGUSR2)
        return True

    async def _serves_beside(self, old: Child, new: Child) -> bool:
        if not await self._happens(self._share(old), f"the old {old.name} did not share its limits"):
            return False
        new.start()
        return await self._happens(new.listens.wait(), f"the new {new.name} did not serve")

    async def _happens(self, event: Awaitable[object], complaint: str) -> bool:
        """Whether ``event`` comes in time, and no failure before it."""
        waits = [asyncio.ensure_future(event), asyncio.ensure_future(self._failed.wait())]
        try:
            done, _ = await asyncio.wait(waits, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if not done:
            _log.error("%s within %g seconds", complaint, START_SECONDS)
        return waits[0] in done and not self._failed.is_set()

    def _remove(self, child: Child) -> None:
        self._children.remove(child)
        if child.pulse is not None:
            child.pulse.close()
