"""`gateway run`: a gateway with its signals and its configuration file, from start to exit code."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path

import uvloop

from gateway import __version__
from gateway.app import Gateway, tell
from gateway.config.document import Document
from gateway.config.parse import ConfigError
from gateway.config.provider import watch
from gateway.core.events import Reloaded

_log = logging.getLogger("gateway")


class Process:
    """Owns the gateway, its reloads and the tasks around it."""

    def __init__(self, load: Callable[[], Document], config: Path | None) -> None:
        self._load = load
        self._config = config
        self._gateway = Gateway(load())
        self._stopping = asyncio.Event()
        self._cutting = asyncio.Event()
        self._reload_lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> int:
        """Serve until a signal ends it; the process's exit code."""
        try:
            with self._signals():
                if self._config is not None:
                    self._own(watch(self._config, lambda: self._own(self.reload("file change"))), "watch configuration")
                _calm_collector()
                # Last, so that the first connection finds everything ready.
                async with self._reload_lock:
                    await self._gateway.start()
                _log.info("%s", self._greeting())
                await self._stopping.wait()
                await self._drain()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._gateway.aclose()
        return 0

    async def reload(self, source: str) -> None:
        """Load the configuration anew; a bad one is told and changes nothing."""
        async with self._reload_lock:
            error = ""
            try:
                document = self._load()
                if document == self._gateway.document:
                    return
                await self._gateway.reload(document)
            except (ConfigError, OSError) as caught:
                error = str(caught)
            tell(Reloaded(self._gateway.generation, source, error))

    async def _drain(self) -> None:
        drained = asyncio.ensure_future(self._gateway.drain(self._gateway.document.drain_timeout))
        cutting = asyncio.ensure_future(self._cutting.wait())
        await asyncio.wait({drained, cutting}, return_when=asyncio.FIRST_COMPLETED)
        cutting.cancel()
        if not drained.done():
            drained.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await drained
        elif not drained.result():
            _log.warning("drain_timeout is over: what still ran was cut")

    def _stop(self) -> None:
        if self._stopping.is_set():
            self._cutting.set()
            return
        _log.info("draining: %d connections", self._gateway.connections)
        self._stopping.set()

    def _reopen(self) -> None:
        writer = self._gateway.access_log.writer
        if writer is not None:
            try:
                writer.reopen()
            except OSError as error:
                _log.error("the access log could not be reopened, the old file stays in use: %s", error)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        handlers: dict[int, Callable[[], object]] = {
            signal.SIGTERM: self._stop,
            signal.SIGINT: self._stop,
            signal.SIGHUP: lambda: self._own(self.reload("SIGHUP"), "reload"),
            signal.SIGUSR1: self._reopen,
        }
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        try:
            yield
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)

    def _own(self, work: Coroutine[None, None, None], name: str = "reload") -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _greeting(self) -> str:
        where = ", ".join(f"http://[{h}]:{p}" if ":" in h else f"http://{h}:{p}" for h, p in self._gateway.addresses)
        count = len(self._gateway.document.proxies)
        return f"gateway {__version__} serves {count} {'proxy' if count == 1 else 'proxies'} on {where}"


def _calm_collector() -> None:
    """Collect less often, and never what lives as long as the process.

    Exchanges free themselves by reference counting; a collection after each 700 new objects, the default, only finds
    that a burst of new streams is alive.
    """
    gc.set_threshold(10_000, 20, 10)
    gc.collect()
    gc.freeze()


def run(load: Callable[[], Document], config: Path | None) -> int:
    """Run a gateway until a signal ends it. ``load`` reads the configuration and may raise `ConfigError`."""
    # It tells of every change in the folder, an access log beside the configuration included.
    logging.getLogger("watchfiles").setLevel(logging.WARNING)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")

    async def main() -> int:
        return await Process(load, config).run()

    try:
        return uvloop.run(main())
    except OSError as error:
        _log.error("can not start: %s", error)
        return 1
