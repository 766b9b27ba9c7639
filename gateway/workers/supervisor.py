"""The supervisor: starts the workers and the control process, and starts them again when they die.

No configuration, no database and no traffic can make it fail, because it knows none of them. It imports nothing
heavy, and takes the place of the process that read the command line (`become`). Its children watch a
pipe whose other end it holds; should it be killed all the same, they end by themselves and leave no orphan. It watches
a pipe of each child in turn: one that hangs or was stopped is killed and replaced. A worker that the control process
wants to be replaced (`roster`) is replaced without a failed request. It owns the sockets on which workers
listen (`sockets`): callers wait while a worker is replaced, and are not refused.

    SIGTERM, SIGINT   the listening sockets are closed, the workers drain, then the control process ends; a second one
                      cuts what still runs
    SIGHUP            the control process reloads
    SIGUSR1           the workers open their access log again
    SIGUSR2           the workers are replaced one after the other (`rolling`)
    an order in the roster: the program of the supervisor itself is replaced (`takeover`)
    SIGCHLD           a child ended; process 1 of a container also gets the orphans of others, whose codes it takes
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from gateway import launch
from gateway.observe.process_log import begin_process_log
from gateway.workers import confinement
from gateway.workers.child import FIRST_PAUSE, Child
from gateway.workers.crew import Crew
from gateway.workers.estate import Estate
from gateway.workers.inherited import Inherited
from gateway.workers.pulse import PERIOD
from gateway.workers.rolling import Rolling
from gateway.workers.signals import signals
from gateway.workers.takeover import NOTHING, Kept, Takeover, receive

_log = logging.getLogger("gateway")

_END_SECONDS: Final = 5.0


class Supervisor:
    """``children`` are started in this order, and stopped in it too: those that serve come first.

    ``ready``: the reading end of a pipe to which a child writes when traffic is served for the first time; then
    ``on_ready`` is called, and from then on each death is followed by a start. ``successor`` makes the entry of a
    process that takes over from a worker; None: workers cannot be replaced. ``estate``: of workers that share a page.
    ``takeover``: how another program takes over from this one; None: that is not possible. A child whose process runs
    already was started by the program before this one, and runs its code.
    """

    def __init__(
        self,
        children: Sequence[Child],
        ready: int,
        on_ready: Callable[[], object] = lambda: None,
        successor: Callable[[Child], Child] | None = None,
        estate: Estate | None = None,
        takeover: Takeover | None = None,
    ) -> None:
        self._estate = estate
        self._takeover = takeover
        self._upgrading = False
        """An upgrade was ordered, and waits until nothing would be lost by it."""
        self._children = list(children)
        self._rolling = Rolling(self._children, successor, self._share, self._part)
        self._ready = ready
        self._on_ready = on_ready
        self._stopping = False
        self._began = any(child.process is not None for child in self._children)
        """The control process was ready once: from now on a death is followed by a start."""
        self._code = 0
        """Of the workers that have ended since the stop, the highest exit code."""
        self._over: asyncio.Future[int]

    async def run(self) -> int:
        """Supervise until a signal ends it, or the first start fails; the exit code."""
        loop = asyncio.get_running_loop()
        self._over = loop.create_future()
        try:
            with signals(self._handlers()), self._readiness():
                adopted = [child for child in self._children if child.process is not None]
                for child in self._children:
                    if child not in adopted:
                        child.start()
                if adopted:
                    self._renew(adopted)
                watching = loop.create_task(self._watch(), name="watch the children")
                try:
                    return await self._over
                finally:
                    watching.cancel()
                    await self._rolling.aclose()
        finally:
            await self._end()

    async def _end(self) -> None:
        self._refuse()
        for child in self._children:
            child.signal(signal.SIGTERM)
        for child in self._children:
            if child.process is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    await asyncio.to_thread(child.process.wait, _END_SECONDS)
                child.signal(signal.SIGKILL)
                await asyncio.to_thread(child.process.wait)
            if child.pulse is not None:
                child.pulse.close()
            if child.sockets is not None:
                await child.sockets.aclose()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(PERIOD)
            self._reap()  # children that ended before the handler of SIGCHLD was installed
            for child in self._children:
                if child.hangs():
                    _log.error("the %s hangs: it is killed", child.name)
                    child.kill()
                if child.settled():
                    _log.info("the %s runs again: its crash loop is over", child.name)
                if child.unwanted and self._rolling.recycle([child]):
                    child.note_recycled()
            if self._estate is not None:
                self._estate.look(self._children, self._free_lock)
            if self._takeover is not None:
                self._consider_upgrade(self._takeover)

    def _consider_upgrade(self, takeover: Takeover) -> None:
        self._upgrading |= takeover.ordered()
        self._reap()  # else the next program would adopt a process whose exit code was taken already
        settled = self._estate is None or self._estate.settled
        if self._upgrading and settled and not self._stopping and not self._rolling.busy:
            self._upgrading = False
            takeover.begin(self._children)

    def _renew(self, adopted: Sequence[Child]) -> None:
        """The first act after an upgrade: the control process starts again, and the workers are replaced."""
        for child in adopted:
            if not child.serves:
                child.renewing = True
                child.signal(signal.SIGTERM)
        self._rolling.begin()

    def _free_lock(self, child: Child) -> None:
        _log.error("the %s was stopped while it held a lock that all workers need: it is killed", child.name)
        child.kill()

    def _reap(self) -> None:
        for child in list(self._children):
            code = child.ended()
            if code is not None:
                if self._estate is not None and child.serves:
                    self._estate.bury(child.place, self._part)
                self._on_end(child, code)
        own = {child.process.pid for child in self._children if child.process is not None}
        launch.reap_orphans(own.__contains__)

    async def _share(self, child: Child) -> None:
        if self._estate is not None:
            await self._estate.share(child.place)

    def _part(self) -> None:
        """A worker that is alone now needs no shared limits."""
        if self._estate is not None and not self._rolling.running and sum(each.serves for each in self._children) == 1:
            self._estate.part()

    def _on_end(self, child: Child, code: int) -> None:
        if self._over.done():
            return
        if self._stopping:
            if child.serves:
                self._code = max(self._code, code if code >= 0 else 1)
                self._end_after_workers()
        elif child.renewing:
            child.renewing = False
            self._start_again(child)
        elif child.leaving or self._rolling.starts(child):
            self._rolling.ended(child, _end_of(code))
        elif not child.serves and not self._began and code > 0:
            self._over.set_result(code)  # it has logged why it cannot start
        else:
            pause = child.pause()
            _log.error("the %s ended (%s); it is started again in %g s", child.name, _end_of(code), pause)
            if child.crash_loop:
                _log.error(
                    "the %s is in a crash loop: it ended %d times, each time soon after its start; what it logged "
                    "before says why",
                    child.name,
                    child.crash_loop,
                )
            asyncio.get_running_loop().call_later(pause, self._start_again, child)

    def _start_again(self, child: Child) -> None:
        if self._stopping or self._over.done() or child.leaving:
            return
        try:
            child.start()
        except OSError as error:
            pause = max(child.pause(), FIRST_PAUSE)
            _log.error("the %s cannot be started (%s); it is tried again in %g s", child.name, error, pause)
            asyncio.get_running_loop().call_later(pause, self._start_again, child)

    def _stop(self) -> None:
        again, self._stopping = self._stopping, True
        self._refuse()
        self._rolling.stop()
        for child in self._children:
            # One that leaves drains already, and a second signal would cut what runs in it.
            if child.serves and (again or not child.leaving):
                child.signal(signal.SIGTERM)
        self._end_after_workers()

    def _refuse(self) -> None:
        """Whatever the workers do: no one serves a caller that connects from here on, so none must wait."""
        for child in self._children:
            if child.sockets is not None:
                child.sockets.close()

    def _end_after_workers(self) -> None:
        if not self._over.done() and all(child.process is None for child in self._children if child.serves):
            self._over.set_result(self._code)

    @contextlib.contextmanager
    def _readiness(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()

        def began() -> None:
            self._began = True
            loop.remove_reader(self._ready)
            self._on_ready()

        loop.add_reader(self._ready, began)
        try:
            yield
        finally:
            loop.remove_reader(self._ready)

    def _handlers(self) -> dict[int, Callable[[], object]]:
        return {
            signal.SIGTERM: self._stop,
            signal.SIGINT: self._stop,
            signal.SIGHUP: lambda: self._pass_on(signal.SIGHUP, serving=False),
            signal.SIGUSR1: lambda: self._pass_on(signal.SIGUSR1, serving=True),
            signal.SIGUSR2: self._rolling.begin,
            signal.SIGCHLD: self._reap,
        }

    def _pass_on(self, number: int, *, serving: bool) -> None:
        for child in self._children:
            if child.serves == serving:
                child.signal(number)


def _end_of(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


async def supervise(
    options: str,
    env: Mapping[str, str] | None = None,
    on_ready: Callable[[], object] = lambda: None,
    worker_env: Sequence[str] = (),
    workers: int = 1,
    *,
    in_place: bool = False,
    kept: Kept | None = None,
) -> int:
    """Run a gateway until a signal ends it, or the first start fails; the exit code.

    ``options``, ``env``, ``worker_env``, ``workers``: those of `Crew`. ``on_ready`` is called when traffic is served
    for the first time. ``in_place``: this process does nothing else, so its program can be replaced; ``kept``: it has
    replaced another.
    """
    pipes, page, sockets = (kept["pipes"], kept["estate"], kept["sockets"]) if kept else (None, (), None)
    with Inherited(workers, pipes) as inherited, Estate(2 * workers, page, lone=workers == 1) as estate:
        crew = Crew(inherited, options, workers, env, worker_env, estate.descriptors, sockets)
        children = crew.adopted(kept["children"]) if kept else crew.children()
        takeover = Takeover(inherited, estate, crew, options, worker_env) if in_place else None
        return await Supervisor(children, inherited.ready, on_ready, crew.successor, estate, takeover).run()


def become(options: str, workers: int = 1, worker_env: Sequence[str] = ()) -> int:
    """Replace this process by a supervisor: the same process id, descriptors, limits and held signals, but none of the
    memory that the command line and the check of the configuration took.

    The arguments are those of `supervise`. Returns an exit code only when the system refuses.
    """
    logging.shutdown()  # a thread writes the log, and no thread outlives execve(2)
    command = [*launch.PYTHON, __spec__.name, options, str(workers), NOTHING, *worker_env]
    try:
        os.execv(command[0], command)  # noqa: S606 - our own module
    except OSError as error:
        os.write(2, f"cannot start: {error}\n".encode())  # the log has ended
    return 1


def main(arguments: Sequence[str]) -> int:
    """Run the supervisor; the exit code of the gateway.

    ``arguments``: those of `become`, and before the names a descriptor of what the program before has handed over.
    """
    options, workers, state, *worker_env = arguments
    begin_process_log()
    confinement.rename("gateway")
    confinement.seal()
    kept = None if state == NOTHING else receive(int(state))

    async def work() -> int:
        code = await supervise(options, worker_env=worker_env, workers=int(workers), in_place=True, kept=kept)
        launch.end_within(_END_SECONDS, code, logging.shutdown)  # the look-up of a name may hang in a thread
        return code

    try:
        return asyncio.run(work())
    except OSError as error:
        _log.error("cannot start: %s", error)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
