"""`gateway run`: a gateway with its signals and its configuration file, from start to exit code."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path

import uvloop

from gateway import launch
from gateway.app import Gateway, calm_collector, greeting, signals, tell
from gateway.config.document import Document
from gateway.config.parse import ConfigError
from gateway.config.provider import fingerprint, watch
from gateway.config.reloads import Reloads
from gateway.core.events import Reloaded
from gateway.observe.process_log import begin_process_log
from gateway.workers import confinement

_log = logging.getLogger("gateway")

_END_SECONDS = 10.0
"""What the end may take after the drain."""


class Process:
    """Owns the gateway, its reloads and the tasks around it."""

    def __init__(self, load: Callable[[], Document], config: Path | None) -> None:
        self._load = load
        self._config = config
        self._content = None if config is None else fingerprint(config)
        """Digest of the file that is in force."""
        self._seen = self._content
        self._gateway = Gateway(load())
        self._started = asyncio.Event()
        self._stopping = asyncio.Event()
        self._cutting = asyncio.Event()
        self._reloads = Reloads(self.reload)
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> int:
        """Serve until a signal ends it; the process's exit code."""
        try:
            with signals(self._handlers()):
                if os.getpid() == 1:
                    self._own(_reap_orphans(), "reap orphans")
                calm_collector()
                # Last, so that the first connection finds everything ready.
                await self._gateway.start()
                self._started.set()
                if self._config is not None:
                    self._own(self._watch(self._config), "watch configuration")
                _log.info("%s", greeting(self._gateway.addresses, len(self._gateway.document.proxies)))
                await self._stopping.wait()
                await self._gateway.drain_or_cut(self._cutting)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._gateway.aclose()
        return 0

    async def _watch(self, config: Path) -> None:
        await watch(config, lambda: self._reloads.ask("file change"), since=self._seen)

    async def reload(self, source: str) -> None:
        """Load the configuration again; a bad one is logged and changes nothing. One reload at a time."""
        await self._started.wait()
        try:
            # In threads: to parse some hundred proxies takes as long as a thousand requests.
            content = None if self._config is None else await asyncio.to_thread(fingerprint, self._config)
            if content is not None and content == self._content:
                return
            document = await asyncio.to_thread(self._load)
            if document != self._gateway.document:
                await self._gateway.reload(document)
                tell(Reloaded(self._gateway.generation, source, ""))
            self._content = content
        except (ConfigError, OSError) as caught:
            tell(Reloaded(self._gateway.generation, source, str(caught)))

    def _stop(self) -> None:
        if self._stopping.is_set():
            self._cutting.set()
            return
        _log.info("draining: %d connections", self._gateway.connections)
        launch.end_within(self._gateway.document.drain_timeout + _END_SECONDS, 1, logging.shutdown)
        self._stopping.set()

    def _handlers(self) -> dict[int, Callable[[], object]]:
        return {
            signal.SIGTERM: self._stop,
            signal.SIGINT: self._stop,
            signal.SIGHUP: lambda: self._own(self._reloads.ask("SIGHUP"), "reload"),
            signal.SIGUSR1: self._gateway.reopen_log,
        }

    def _own(self, work: Coroutine[None, None, None], name: str = "reload") -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _reap_orphans() -> None:
    """As process 1 of a container: uvloop keeps SIGCHLD to itself, so it looks once a second."""
    while True:
        await asyncio.sleep(1)
        launch.reap_orphans(lambda _: False)


def run(load: Callable[[], Document], config: Path | None) -> int:
    """Run a gateway until a signal ends it. ``load`` reads the configuration and may raise `ConfigError`."""
    begin_process_log()
    confinement.seal()

    async def main() -> int:
        return await Process(load, config).run()

    try:
        return uvloop.run(main())
    except OSError as error:
        _log.error("can not start: %s", error)
        return 1
