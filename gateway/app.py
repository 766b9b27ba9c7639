"""The composition root: builds the rooms bottom-up, reloads them, and takes them down in reverse."""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType
from typing import Self

from gateway.config.document import Document
from gateway.core.events import BreakerChanged, Event, Reloaded
from gateway.core.exchange import Exchange
from gateway.identity.access import identify
from gateway.observe.access_log import AccessLog, line
from gateway.observe.line_writer import LineWriter
from gateway.proxy.server import Server
from gateway.proxy.snapshot import Slots, Snapshot
from gateway.upstream.registry import Registry
from gateway.upstream.upstream import Upstream
from gateway.wire.buffers import BufferPool
from gateway.wire.head import HeadParser

_log = logging.getLogger("gateway")


class Gateway:
    """A data plane in this event loop: ``async with Gateway(document) as gateway``, or `start` and `aclose`."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self.buffers = BufferPool()
        self.access_log = AccessLog(None)
        parser = HeadParser()
        self._registry = Registry(self.buffers, parser, tell)
        self._slots = Slots(self.access_log.observe, identify)
        self.server = Server(self.buffers, parser, self._slots)
        self._generation = 0

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def start(self) -> None:
        """Listen and serve. Raises OSError when an address or the access log can not be opened."""
        await self.reload(self._document)

    async def reload(self, document: Document) -> None:
        """Take ``document`` in force at one stroke; on an error everything stays as it was."""
        upstreams = self._registry.prepare(document.proxies)
        snapshot = Snapshot.of(self._generation + 1, document, upstreams, self._slots)
        writer = self._writer(document.access_log)
        old_writer = self.access_log.writer
        if self._generation == 0:
            self.server.snapshot = snapshot
        try:
            await self.server.listen(document.listen)
        except OSError:
            if writer is not None and writer is not old_writer:
                writer.close()
            raise
        self._registry.adopt(upstreams)
        self.server.snapshot = snapshot
        self._generation = snapshot.generation
        self._document = document
        self.access_log.writer = writer
        if old_writer is not None and old_writer is not writer:
            old_writer.close()

    def _writer(self, path: str | None) -> LineWriter[Exchange] | None:
        current = self.access_log.writer
        if path is None or (current is not None and current.path == path):
            return current if path is not None else None
        return LineWriter(path, line, asyncio.get_running_loop())

    async def drain(self, timeout: float) -> bool:
        """Stop accepting, finish what runs, then cut; True when nothing had to be cut."""
        return await self.server.drain(timeout)

    async def aclose(self) -> None:
        """Cut what runs and give everything back."""
        await self.server.cut()
        await self._registry.aclose()
        if self.access_log.writer is not None:
            self.access_log.writer.close()
            self.access_log.writer = None

    @property
    def document(self) -> Document:
        return self._document

    @property
    def generation(self) -> int:
        """Counts the configurations that came in force."""
        return self._generation

    @property
    def addresses(self) -> list[tuple[str, int]]:
        return self.server.addresses

    @property
    def upstreams(self) -> dict[str, Upstream]:
        return self._registry.upstreams

    @property
    def exchanges(self) -> int:
        return self.server.exchanges

    @property
    def connections(self) -> int:
        return len(self.server.connections)


def tell(event: Event) -> None:
    """Events go to the process's log."""
    match event:
        case BreakerChanged(proxy, old, new, cause):
            _log.warning("breaker of %s: %s -> %s (%s)", proxy, old, new, cause)
        case Reloaded(generation, source, ""):
            _log.info("configuration %d in force (%s)", generation, source)
        case Reloaded(generation, source, error):
            _log.error("%s refused, configuration %d stays in force:\n%s", source, generation, error)
