"""`gateway run`: a gateway with its signals and its configuration file, from start to exit code."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

import uvloop

from gateway import launch
from gateway.config import expiry
from gateway.config.grants import grants_of
from gateway.config.installation import written
from gateway.config.load import ConfigError
from gateway.config.networks import Destinations
from gateway.config.records import Credentials
from gateway.config.reloads import Reloads
from gateway.config.watch import Loaded, fingerprint, watch
from gateway.control.issuers import Issuers
from gateway.control.key_file import KeyFile
from gateway.core.events import Reloaded
from gateway.core.tasks import Tasks
from gateway.grants.broker import Broker
from gateway.grants.endpoint import TokenEndpoint
from gateway.grants.memory import MemoryGrants
from gateway.grants.provider import Provider
from gateway.observe.process_log import begin_process_log, log_event
from gateway.workers import confinement
from gateway.workers.greeting import SIGHUP, greeting, unchanged
from gateway.workers.local_plane import LocalPlane
from gateway.workers.signals import signals

_log = logging.getLogger("gateway")

Result = TypeVar("Result")
_TERMINATED: Final = 128 + signal.SIGTERM
"""The exit code of a command that this signal ends, as shells have it."""


class Process:
    """Owns a data plane in this process, its reloads and the tasks around it.

    It does what the control process does where there is one: it follows the file and the issuers of tokens.
    """

    def __init__(self, load: Callable[[], Loaded], config: Path | None) -> None:
        self._load = load
        self._config = config
        self._content = None if config is None else fingerprint(config)
        """Digest of the file that is applied."""
        self._seen = self._content
        self._refused = False
        """The last read of the file was rejected."""
        self._loaded = load()
        self._plane = LocalPlane()
        self._generation = 0
        place = _keys_file(self._loaded, config)
        self._issuers = Issuers(None if place is None else KeyFile(place), destinations=self._destinations)
        self._provider = Provider(TokenEndpoint(destinations=self._destinations))
        self._broker = Broker(MemoryGrants(), self._provider.next_tokens, self._plane.supply)
        self._plane.on_tokens_wanted(lambda: self._broker.want(self._plane.take_wanted_tokens()))
        self._started = asyncio.Event()
        self._reloads = Reloads(self.reload)
        self._tasks = Tasks()

    async def run(self) -> int:
        """Serve until a signal ends it; the process's exit code."""
        try:
            with signals(self._handlers()):
                if os.getpid() == 1:
                    self._tasks.start(_reap_orphans(), "reap orphans")
                await self._issuers.restore()
                await self._identify()
                self._tasks.start(self._follow_issuers(), "follow the issuers of tokens")
                await self._broker.serve(grants_of(self._loaded.document.connections))
                # Last, so that the first connection finds everything ready.
                in_force = await self._plane.apply(self._loaded.document)
                self._generation = in_force.generation
                self._started.set()
                if self._config is not None:
                    self._tasks.start(self._watch(self._config), "watch configuration")
                self._tasks.start(expiry.warn(self._certificates), "watch certificates")
                if not self._plane.stopping:
                    _log.info("%s", greeting(in_force, len(self._loaded.document.proxies)))
                await self._plane.until_drained()
        finally:
            await self._tasks.aclose()
            await self._plane.aclose()
            await self._issuers.aclose()
            await self._broker.aclose()
            await self._provider.aclose()
        return 0

    async def _identify(self) -> None:
        """Apply the credentials. Without a database there are no tokens of the gateway's own."""
        await self._plane.identify(Credentials({}, self._issuers.of(self._loaded.auth.jwt)))

    async def _follow_issuers(self) -> None:
        await self._issuers.follow(lambda: self._loaded.auth.jwt, self._plane.take_wanted, self._identify)

    def _destinations(self) -> Destinations:
        """The addresses to which the gateway may connect now."""
        return Destinations.of(self._loaded.document)

    def _certificates(self) -> list[expiry.Expiring]:
        document = self._loaded.document
        return expiry.expiring(document.listen, document.upstreams)

    async def _watch(self, config: Path) -> None:
        await watch(
            config,
            lambda: self._reloads.ask("file change"),
            since=self._seen,
            sources=lambda: self._loaded.sources,
        )

    async def reload(self, source: str) -> None:
        """Load the configuration again; an invalid one is logged and changes nothing. One reload at a time."""
        await self._started.wait()
        try:
            # In threads: to parse some hundred proxies takes as long as a thousand requests.
            content = None if self._config is None else await asyncio.to_thread(fingerprint, self._config)
            if content is not None and content == self._content and await asyncio.to_thread(self._loaded.current):
                # A file change that a signal has already applied needs no line of its own.
                if source == SIGHUP or self._refused:
                    _log.info("%s", unchanged(source, self._generation))
                self._refused = False
                return
            loaded = await asyncio.to_thread(self._load)
            if loaded != self._loaded:
                await self._take(loaded)
                log_event(Reloaded(self._generation, source, ""))
            else:
                _log.info("%s", unchanged(source, self._generation))
            self._content, self._refused = content, False
        except (ConfigError, OSError) as caught:
            self._refused = True
            log_event(Reloaded(self._generation, source, str(caught)))

    async def _take(self, loaded: Loaded) -> None:
        """Apply ``loaded``. Raises OSError, changing nothing."""
        await self._broker.serve(grants_of(loaded.document.connections))
        self._generation = (await self._plane.apply(loaded.document)).generation
        if names := self._of_the_start(loaded):
            _log.warning("%s: a change takes effect at the next start; stop this process and start it again", names)
        self._loaded = loaded
        await self._identify()

    def _of_the_start(self, loaded: Loaded) -> str:
        """The changed settings that this process read when it started."""
        before, config = self._loaded, self._config
        names = ["auth.keys_file"] if loaded.auth.keys_file != before.auth.keys_file else []
        if config is not None and written(loaded.document, config) != written(before.document, config):
            names.append("via")
        return ", ".join(names)

    def _handlers(self) -> dict[int, Callable[[], object]]:
        return {
            signal.SIGTERM: self._plane.stop,
            signal.SIGINT: self._plane.stop,
            signal.SIGHUP: lambda: self._tasks.start(self._reloads.ask(SIGHUP), "reload"),
            signal.SIGUSR1: self._plane.reopen_log,
        }


def run_alone(work: Coroutine[Any, Any, Result]) -> Result:
    """The result of ``work``, on the event loop that a data plane needs; for commands that use one for a moment.

    SIGTERM ends it as Ctrl-C does: ``work`` is cancelled, so that what it has begun elsewhere is cancelled too.
    """

    async def main() -> Result:
        task = asyncio.current_task()
        assert task is not None
        if threading.current_thread() is not threading.main_thread():  # which alone gets signals
            return await work
        with signals({signal.SIGTERM: task.cancel}):
            return await work

    try:
        return uvloop.run(main())
    except asyncio.CancelledError:
        sys.exit(_TERMINATED)


async def _reap_orphans() -> None:
    """As process 1 of a container: uvloop keeps SIGCHLD to itself, so it looks once a second."""
    while True:
        await asyncio.sleep(1)
        launch.reap_orphans(lambda _: False)


def _keys_file(loaded: Loaded, config: Path | None) -> Path | None:
    """The shelf that keeps the keys of issuers across restarts."""
    if loaded.auth.keys_file is not None:
        return Path(loaded.auth.keys_file)
    return None if config is None else config.with_name(config.name + ".keys")


def run(load: Callable[[], Loaded], config: Path | None) -> int:
    """Run a gateway until a signal ends it. ``load`` reads the configuration and may raise `ConfigError`."""
    begin_process_log()
    confinement.seal()

    async def main() -> int:
        return await Process(load, config).run()

    try:
        return uvloop.run(main())
    except OSError as error:
        _log.error("cannot start: %s", error)
        return 1
