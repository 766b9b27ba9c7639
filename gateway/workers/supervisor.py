"""The supervisor: starts the worker and the control process, and starts them again when they die.

No configuration, no database and no traffic can make it fail, because it knows none of them. It imports nothing
heavy, and takes the place of the process that read the command line (`become`). Its children watch a
pipe whose other end it holds; should it be killed all the same, they end by themselves and leave no orphan. It watches
a pipe of each child in turn: one that hangs or was stopped is killed and replaced. It owns the sockets on which workers
listen (`sockets`): callers wait while a worker is replaced, and are not refused.

    SIGTERM, SIGINT   the listening sockets are closed, the worker drains, then the control process ends; a second one
                      cuts what still runs
    SIGHUP            the control process reloads
    SIGUSR1           the worker opens its access log again
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
from gateway.workers.child import FIRST_PAUSE, PYTHON, Child
from gateway.workers.inherited import Inherited
from gateway.workers.pulse import PERIOD, Pulse
from gateway.workers.signals import signals
from gateway.workers.sockets import OwnedSockets

_log = logging.getLogger("gateway")

_START_LOOKS: Final = 240
"""Two minutes to start, on a busy machine."""
_WORKER_LOOKS: Final = 10
"""Five seconds: traffic waits for it."""
_CONTROL_LOOKS: Final = 60
"""Half a minute: no traffic waits, and the database may be moving its schema."""
_END_SECONDS: Final = 5.0


class Supervisor:
    """``children`` are started in this order, and stopped in it too: those that serve come first.

    ``ready``: the reading end of a pipe to which a child writes when traffic is served for the first time; then
    ``on_ready`` is called, and from then on each death is followed by a start.
    """

    def __init__(self, children: Sequence[Child], ready: int, on_ready: Callable[[], object] = lambda: None) -> None:
        self._children = children
        self._workers = [child for child in children if child.serves]
        self._ready = ready
        self._on_ready = on_ready
        self._stopping = False
        self._began = False
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
                for child in self._children:
                    child.start()
                watching = loop.create_task(self._watch(), name="watch the children")
                try:
                    return await self._over
                finally:
                    watching.cancel()
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

    def _reap(self) -> None:
        for child in self._children:
            code = child.ended()
            if code is not None:
                self._on_end(child, code)
        own = {child.process.pid for child in self._children if child.process is not None}
        launch.reap_orphans(own.__contains__)

    def _on_end(self, child: Child, code: int) -> None:
        if self._over.done():
            return
        if self._stopping:
            if child.serves:
                self._code = max(self._code, code if code >= 0 else 1)
                self._end_after_workers()
        elif not child.serves and not self._began and code > 0:
            self._over.set_result(code)  # it has logged why it cannot start
        else:
            pause = child.pause()
            _log.error("the %s ended (%s); it is started again in %g s", child.name, _end_of(code), pause)
            asyncio.get_running_loop().call_later(pause, self._start_again, child)

    def _start_again(self, child: Child) -> None:
        if self._stopping or self._over.done():
            return
        try:
            child.start()
        except OSError as error:
            pause = max(child.pause(), FIRST_PAUSE)
            _log.error("the %s cannot be started (%s); it is tried again in %g s", child.name, error, pause)
            asyncio.get_running_loop().call_later(pause, self._start_again, child)

    def _stop(self) -> None:
        self._stopping = True
        self._refuse()
        for worker in self._workers:
            worker.signal(signal.SIGTERM)
        self._end_after_workers()

    def _refuse(self) -> None:
        """Whatever the workers do: no one serves a caller that connects from here on, so none must wait."""
        for child in self._children:
            if child.sockets is not None:
                child.sockets.close()

    def _end_after_workers(self) -> None:
        if not self._over.done() and all(worker.process is None for worker in self._workers):
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
            signal.SIGCHLD: self._reap,
        }

    def _pass_on(self, number: int, *, serving: bool) -> None:
        for child in self._children:
            if child.serves == serving:
                child.signal(number)


def _end_of(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def children(
    inherited: Inherited, options: str, env: Mapping[str, str] | None = None, worker_env: Sequence[str] = ()
) -> list[Child]:
    """The processes of a gateway. The parameters are those of `supervise`."""
    pulse = Pulse(_START_LOOKS, _WORKER_LOOKS)
    shared = (inherited.listener, inherited.alive, inherited.counters, pulse.writer)
    worker = Child(
        "worker",
        [*PYTHON, "gateway.workers.worker", *map(str, shared)],
        shared,
        confinement.environment(os.environ if env is None else env, worker_env),
        pulse,
        OwnedSockets(),
        serves=True,
    )
    pulse = Pulse(_START_LOOKS, _CONTROL_LOOKS)
    given = (inherited.alive, inherited.report_ready, inherited.counters, pulse.writer)
    path = str(inherited.path)
    control = Child(
        "control process",
        [*PYTHON, "gateway.control.process", path, *map(str, given), options],
        given,
        env,
        pulse,
    )
    return [worker, control]


async def supervise(
    options: str,
    env: Mapping[str, str] | None = None,
    on_ready: Callable[[], object] = lambda: None,
    worker_env: Sequence[str] = (),
) -> int:
    """Run a gateway until a signal ends it, or the first start fails; the exit code.

    ``options``: the `Options` of the control process as JSON, which nothing here reads. ``env`` is the environment of
    the control process, None for this process's own; a worker gets the part of it that `confinement.environment` keeps,
    with the names in ``worker_env``. ``on_ready`` is called when traffic is served for the first time.
    """
    with Inherited() as inherited:
        return await Supervisor(children(inherited, options, env, worker_env), inherited.ready, on_ready).run()


def become(options: str, worker_env: Sequence[str] = ()) -> int:
    """Replace this process by a supervisor: the same process id, descriptors, limits and held signals, but none of the
    memory that the command line and the check of the configuration took.

    Both arguments are those of `supervise`. Returns an exit code only when the system refuses.
    """
    logging.shutdown()  # a thread writes the log, and no thread outlives execve(2)
    command = [*PYTHON, __spec__.name, options, *worker_env]
    try:
        os.execv(command[0], command)  # noqa: S606 - our own module
    except OSError as error:
        os.write(2, f"cannot start: {error}\n".encode())  # the log has ended
    return 1


def main(arguments: Sequence[str]) -> int:
    """Run the supervisor; the exit code of the gateway. ``arguments``: those of `become`."""
    options, *worker_env = arguments
    begin_process_log()
    confinement.seal()

    async def work() -> int:
        code = await supervise(options, worker_env=worker_env)
        launch.end_within(_END_SECONDS, code, logging.shutdown)  # the look-up of a name may hang in a thread
        return code

    try:
        return asyncio.run(work())
    except OSError as error:
        _log.error("cannot start: %s", error)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
