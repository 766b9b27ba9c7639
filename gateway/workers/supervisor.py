"""The supervisor: starts the worker and the control process, and starts them again when they die.

It does nothing else, so that nothing can make it fail: no configuration, no database, no traffic. It imports nothing
heavy, and takes the place of the process that read the command line (`become`). Its children watch a
pipe whose other end it holds; should it be killed all the same, they end by themselves and leave no orphan. It watches
a pipe of each child in turn: one that hangs or was stopped is killed and replaced.

    SIGTERM, SIGINT   the worker drains, then the control process ends; a second one cuts what still runs
    SIGHUP            the control process reloads
    SIGUSR1           the worker opens its access log anew
    SIGCHLD           a child ended; process 1 of a container also gets the orphans of others, whose codes it takes
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import monotonic
from typing import Final

from gateway import launch
from gateway.core.clock import Clock
from gateway.observe import slabs
from gateway.observe.process_log import begin_process_log
from gateway.workers import confinement
from gateway.workers.pulse import PERIOD, Pulse
from gateway.workers.signals import signals

_log = logging.getLogger("gateway")

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 5.0
_SETTLED_SECONDS = 10.0
"""Who ran for so long is started at once when it dies; who did not, after longer and longer pauses."""
_START_LOOKS: Final = 240
"""Two minutes to begin, on a machine that is busy."""
_WORKER_LOOKS: Final = 10
"""Five seconds: traffic waits for it."""
_CONTROL_LOOKS: Final = 60
"""Half a minute: no traffic waits, and the database may be moving its schema."""
_END_SECONDS: Final = 5.0
# -P: what lies in the folder where the gateway was started is data, and no code of ours.
_PYTHON: Final = (sys.executable, "-P", "-m")
_MAX_FOLDER: Final = 60
"""Bytes of the name of a folder for a Unix socket, whose whole path may have 107 (unix(7))."""
_FOLDERS: Final = ("/tmp", "/var/tmp", "/dev/shm", "/run")  # noqa: S108 - for a folder that nobody else can enter


class Backoff:
    """How long to wait before the next start."""

    def __init__(self, clock: Clock = monotonic) -> None:
        self._clock = clock
        self._pause = 0.0
        self._started_at = clock()

    def started(self) -> None:
        self._started_at = self._clock()

    def pause(self) -> float:
        """Seconds to wait after the death that was just seen."""
        if self._clock() - self._started_at >= _SETTLED_SECONDS:
            self._pause = 0.0
        pause, self._pause = self._pause, min(max(self._pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
        return pause


class Child:
    """One kind of process, of which one is to run."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        descriptors: Sequence[int],
        env: Mapping[str, str] | None = None,
        pulse: Pulse | None = None,
    ) -> None:
        self.name = name
        self.pulse = pulse
        self.process: subprocess.Popen[bytes] | None = None
        self._command = command
        self._descriptors = descriptors
        self._env = env
        self._backoff = Backoff()

    def start(self) -> None:
        """Raises OSError when the system gives no process."""
        self._backoff.started()
        if self.pulse is not None:
            self.pulse.began()
        with launch.held():  # a signal that comes while the child still imports waits for its handler
            self.process = subprocess.Popen(  # noqa: S603 - our own modules
                self._command, pass_fds=self._descriptors, stdin=subprocess.DEVNULL, env=self._env
            )

    def signal(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def ended(self) -> int | None:
        """The exit code (negative: a signal) of a process that has ended, told once; None while it runs."""
        if self.process is None or (code := self.process.poll()) is None:
            return None
        self.process = None
        return code

    def pause(self) -> float:
        return self._backoff.pause()


class Supervisor:
    """``options``: the `Options` of the control process as JSON, which nothing here reads.

    ``env`` is the environment of the control process, None for this process's own; the worker gets the part of it that
    `confinement.environment` keeps, with the names in ``worker_env``. ``on_ready`` is called when traffic is served for
    the first time.
    """

    def __init__(
        self,
        options: str,
        env: Mapping[str, str] | None = None,
        on_ready: Callable[[], object] = lambda: None,
        worker_env: Sequence[str] = (),
    ) -> None:
        self._on_ready = on_ready
        self._folder = private_folder()
        self._listener = socket.socket(socket.AF_UNIX)
        path = self._folder / "channel"
        self._listener.bind(str(path))
        self._listener.listen()
        self._alive, self._held = os.pipe()
        self._ready, ready = os.pipe()
        os.set_blocking(self._ready, False)
        self._given_away = ready
        self._slabs = slabs.create()
        self._stopping = False
        self._began = False
        """The control process was ready once: from now on a death is followed by a start."""
        self._over: asyncio.Future[int]
        pulses = Pulse(_START_LOOKS, _WORKER_LOOKS), Pulse(_START_LOOKS, _CONTROL_LOOKS)
        shared = (self._listener.fileno(), self._alive, self._slabs, pulses[0].writer)
        given = (self._alive, ready, self._slabs, pulses[1].writer)
        self.worker = Child(
            "worker",
            [*_PYTHON, "gateway.workers.worker", *map(str, shared)],
            shared,
            confinement.environment(os.environ if env is None else env, worker_env),
            pulses[0],
        )
        self.control = Child(
            "control process",
            [*_PYTHON, "gateway.control.process", str(path), *map(str, given), options],
            given,
            env,
            pulses[1],
        )

    async def run(self) -> int:
        """Supervise until a signal ends it, or the first start fails; the exit code."""
        loop = asyncio.get_running_loop()
        self._over = loop.create_future()
        try:
            with signals(self._handlers()), self._readiness():
                self.worker.start()
                self.control.start()
                watching = loop.create_task(self._watch(), name="watch the children")
                try:
                    return await self._over
                finally:
                    watching.cancel()
        finally:
            await self._end()

    async def _end(self) -> None:
        for child in (self.worker, self.control):
            child.signal(signal.SIGTERM)
        for child in (self.worker, self.control):
            if child.process is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    await asyncio.to_thread(child.process.wait, _END_SECONDS)
                child.signal(signal.SIGKILL)
                await asyncio.to_thread(child.process.wait)
            if child.pulse is not None:
                child.pulse.close()
        self._listener.close()
        for descriptor in (self._alive, self._held, self._ready, self._given_away, self._slabs):
            os.close(descriptor)
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(PERIOD)
            self._reap()  # what ended before the handler of SIGCHLD was there
            for child in (self.worker, self.control):
                if child.process is not None and child.pulse is not None and child.pulse.hangs():
                    _log.error("the %s hangs: it is killed", child.name)
                    child.signal(signal.SIGKILL)
                    child.pulse.began()

    def _reap(self) -> None:
        for child in (self.worker, self.control):
            code = child.ended()
            if code is not None:
                self._on_end(child, code)
        own = {child.process.pid for child in (self.worker, self.control) if child.process is not None}
        launch.reap_orphans(own.__contains__)

    def _on_end(self, child: Child, code: int) -> None:
        if self._over.done():
            return
        if self._stopping:
            if child is self.worker:
                self._over.set_result(code if code >= 0 else 1)
        elif child is self.control and not self._began and code > 0:
            self._over.set_result(code)  # it has told why it can not start
        else:
            pause = child.pause()
            _log.error("the %s ended (%s); it is started again in %g s", child.name, _told(code), pause)
            asyncio.get_running_loop().call_later(pause, self._start_again, child)

    def _start_again(self, child: Child) -> None:
        if self._stopping or self._over.done():
            return
        try:
            child.start()
        except OSError as error:
            pause = max(child.pause(), _FIRST_PAUSE)
            _log.error("the %s can not be started (%s); it is tried again in %g s", child.name, error, pause)
            asyncio.get_running_loop().call_later(pause, self._start_again, child)

    def _stop(self) -> None:
        self._stopping = True
        if self.worker.process is None and not self._over.done():
            self._over.set_result(0)
        self.worker.signal(signal.SIGTERM)

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
            signal.SIGHUP: lambda: self.control.signal(signal.SIGHUP),
            signal.SIGUSR1: lambda: self.worker.signal(signal.SIGUSR1),
            signal.SIGCHLD: self._reap,
        }


def _told(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def private_folder() -> pathlib.Path:
    """A new folder for a Unix socket, that nobody else can enter. Raises OSError when there is no place for one.

    ``TMPDIR`` may be missing, read-only, or too long for the address of a socket.
    """
    for place in (os.environ.get("TMPDIR", ""), *_FOLDERS):
        if place and len(os.fsencode(place)) <= _MAX_FOLDER:
            with contextlib.suppress(OSError):
                return pathlib.Path(tempfile.mkdtemp(prefix="gateway-", dir=place))
    raise OSError(f"no folder for a socket; make one of {', '.join(_FOLDERS)} writable, or set TMPDIR to a short one")


def become(options: str, worker_env: Sequence[str] = ()) -> int:
    """Replace this process by a supervisor: the same process id, descriptors, limits and held signals, but none of the
    memory that the command line and the check of the configuration took.

    Both arguments are those of `Supervisor`. Returns an exit code only when the system refuses.
    """
    logging.shutdown()  # a thread writes the log, and no thread outlives execve(2)
    command = [*_PYTHON, __spec__.name, options, *worker_env]
    try:
        os.execv(command[0], command)  # noqa: S606 - our own module
    except OSError as error:
        os.write(2, f"can not start: {error}\n".encode())  # the log has ended
    return 1


def main(arguments: Sequence[str]) -> int:
    """Run the supervisor; the exit code of the gateway. ``arguments``: those of `become`."""
    options, *worker_env = arguments
    begin_process_log()
    confinement.seal()
    try:
        return asyncio.run(Supervisor(options, worker_env=worker_env).run())
    except OSError as error:
        _log.error("can not start: %s", error)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
