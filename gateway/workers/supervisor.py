"""The supervisor: starts the worker and the control process, and starts them again when they die.

It does nothing else, so that nothing can make it fail: no configuration, no database, no traffic. Its children watch a
pipe whose other end it holds; should it be killed all the same, they end by themselves and leave no orphan.

    SIGTERM, SIGINT   the worker drains, then the control process ends; a second one cuts what still runs
    SIGHUP            the control process reloads
    SIGUSR1           the worker opens its access log anew
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

from gateway.app import signals
from gateway.core.clock import Clock
from gateway.observe import slabs
from gateway.observe.process_log import begin_process_log
from gateway.workers import confinement

_log = logging.getLogger("gateway")

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 5.0
_SETTLED_SECONDS = 10.0
"""Who ran for so long is started at once when it dies; who did not, after longer and longer pauses."""


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
        self, name: str, command: Sequence[str], descriptors: Sequence[int], env: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.process: subprocess.Popen[bytes] | None = None
        self._command = command
        self._descriptors = descriptors
        self._env = env
        self._backoff = Backoff()

    def start(self) -> None:
        self._backoff.started()
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
    """``control`` is the control process's command line without the descriptors and paths that are added here.

    ``env`` is the environment of the control process, None for this process's own; the worker gets the part of it that
    `confinement.environment` keeps, with the names in ``worker_env``. ``on_ready`` is called when traffic is served for
    the first time.
    """

    def __init__(
        self,
        control: Sequence[str],
        env: Mapping[str, str] | None = None,
        on_ready: Callable[[], object] = lambda: None,
        worker_env: Sequence[str] = (),
    ) -> None:
        self._on_ready = on_ready
        self._folder = pathlib.Path(tempfile.mkdtemp(prefix="gateway-"))
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
        # -P: what lies in the folder where the gateway was started is data, and no code of ours.
        python = [sys.executable, "-P", "-m"]
        shared = (self._listener.fileno(), self._alive, self._slabs)
        given = (self._alive, ready, self._slabs)
        self.worker = Child(
            "worker",
            [*python, "gateway.workers.worker", *map(str, shared)],
            shared,
            confinement.environment(os.environ if env is None else env, worker_env),
        )
        self.control = Child(
            "control process",
            [*python, "gateway.workers.control", str(path), *map(str, given), *control],
            given,
            env,
        )

    async def run(self) -> int:
        """Supervise until a signal ends it, or the first start fails; the exit code."""
        loop = asyncio.get_running_loop()
        self._over = loop.create_future()
        try:
            with signals(self._handlers()), self._readiness():
                self.worker.start()
                self.control.start()
                return await self._over
        finally:
            await self._end()

    async def _end(self) -> None:
        for child in (self.worker, self.control):
            child.signal(signal.SIGTERM)
        for child in (self.worker, self.control):
            if child.process is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    await asyncio.to_thread(child.process.wait, 10)
                child.signal(signal.SIGKILL)
                await asyncio.to_thread(child.process.wait)
        self._listener.close()
        for descriptor in (self._alive, self._held, self._ready, self._given_away, self._slabs):
            os.close(descriptor)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _reap(self) -> None:
        for child in (self.worker, self.control):
            code = child.ended()
            if code is not None:
                self._on_end(child, code)

    def _on_end(self, child: Child, code: int) -> None:
        if self._over.done():
            return
        if self._stopping:
            if child is self.worker:
                self._over.set_result(code)
        elif child is self.control and not self._began and code > 0:
            self._over.set_result(code)  # it has told why it can not start
        else:
            pause = child.pause()
            _log.error("the %s ended (%s); it is started again in %g s", child.name, _told(code), pause)
            asyncio.get_running_loop().call_later(pause, self._start_again, child)

    def _start_again(self, child: Child) -> None:
        if not self._stopping and not self._over.done():
            child.start()

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


def run(control: Sequence[str], worker_env: Sequence[str] = ()) -> int:
    """Run the supervisor; the exit code of the gateway. ``worker_env``: as of `Supervisor`."""
    begin_process_log()
    confinement.seal()
    return asyncio.run(Supervisor(control, worker_env=worker_env).run())
