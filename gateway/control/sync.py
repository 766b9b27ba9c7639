"""Keeps the worker current: reads file and database, composes the worker's configuration, and sends it.

Traffic never waits for it. While the database is unavailable, the last state that was read stays applied.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

from gateway.config.errors import ConfigError
from gateway.config.reloads import Reloads
from gateway.config.watch import fingerprint
from gateway.control.composer import Composer, StoredRecords, credentials
from gateway.control.declared import DeclaredFile
from gateway.control.issuers import Issuers
from gateway.control.renewal import Renewal
from gateway.control.report import DATABASE_CHANGE, Report
from gateway.grants.broker import Broker
from gateway.ipc.channel import ChannelError, RefusedError
from gateway.ipc.fleet import Fleet
from gateway.store.errors import StoreError, StoreUnavailable
from gateway.store.store import Store
from gateway.workers.greeting import SIGHUP, unchanged

_log = logging.getLogger("gateway")

STORE_SECONDS = 5.0
"""Limit of the control process's wait for its database."""
_POLL_SECONDS = 0.2
_WORKER_SECONDS = 60.0
"""Limit of a worker's start."""
_UNREAD = -1
"""The revision of a database that has to be read again."""


class Sync:
    """One reload at a time, from any source."""

    def __init__(
        self,
        declared: DeclaredFile,
        store: Store,
        plane: Fleet,
        composer: Composer,
        issuers: Issuers,
        report: Report,
        renewal: Renewal,
        broker: Broker,
    ) -> None:
        self._declared = declared
        self._store = store
        self._plane = plane
        self._composer = composer
        self._issuers = issuers
        self._report = report
        self._renewal = renewal
        self._broker = broker
        self._lock = asyncio.Lock()
        self._reloads = Reloads(self._reload)
        self._stored = StoredRecords(read=False)
        self.revision = _UNREAD
        """Of the database, when it was read last."""
        self.served = 0
        """Proxies that the worker serves."""

    async def start(self, *, cold: bool) -> None:
        """Apply the first configuration; ``cold``: that of the file only, because the database is unavailable.

        Raises `ChannelError`, `StoreError`, OSError.
        """
        revision = _UNREAD if cold else await self._read()
        await self.identify()
        composition = self._composer.compose(self._declared.settings, self._stored)
        self._report.composed(composition)
        await self._broker.serve(composition.grants)
        self.served = len(composition.document.proxies)
        end = time.monotonic() + _WORKER_SECONDS
        while True:
            try:
                await self._plane.apply(composition.document)
                break
            except RefusedError:
                raise
            except ChannelError:  # it may still be importing, on a machine that is busy
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(_POLL_SECONDS)
        self.revision = revision

    async def reload(self, source: str) -> None:
        """Read the file again; concurrent requests are merged into one. An invalid file is logged and ignored."""
        await self._reloads.ask(source)

    async def apply_current(self, source: str) -> bool:
        """Apply the current content of file and database; False when the worker rejected it.

        A failure for another reason is retried as soon as the database or the worker is back.
        """
        async with self._lock:
            error, refused = "", False
            try:
                await self._apply(source)
            except TimeoutError:
                error, self.revision = f"the database did not respond within {STORE_SECONDS:g} seconds", _UNREAD
            except RefusedError as caught:
                error, refused = str(caught), True
            except ChannelError as caught:
                error = str(caught)
            except (ConfigError, StoreError, OSError) as caught:
                error, self.revision = str(caught), _UNREAD
        self._report.reloaded(source, error, self._plane.in_force.generation)
        return not refused

    async def identify(self) -> None:
        """Send the current credentials."""
        with contextlib.suppress(StoreUnavailable):
            await self._issuers.restore()
        issuers = self._issuers.of(self._declared.settings.auth.jwt)
        with contextlib.suppress(ChannelError):  # the worker gets them when it is back
            await self._plane.identify(credentials(self._stored.tokens, issuers))

    async def _reload(self, source: str) -> None:
        content = await asyncio.to_thread(fingerprint, self._declared.path)
        same = content is not None and content == self._declared.content and not self._report.error
        if same and await asyncio.to_thread(self._declared.certificates_current):
            if source == SIGHUP:
                _log.info("%s", unchanged(source, self._plane.in_force.generation))
            return
        try:
            settings = await asyncio.to_thread(self._declared.read)
        except (ConfigError, OSError) as error:
            self._report.reloaded(source, str(error), self._plane.in_force.generation)
            return
        before, self._declared.settings = self._declared.settings, settings
        if await self.apply_current(source):
            self._declared.content = content
            self._renewal.follow(before, settings)
        else:
            self._declared.settings = before

    async def _apply(self, source: str) -> None:
        try:
            async with asyncio.timeout(STORE_SECONDS):
                revision = await self._read()
        except (StoreUnavailable, TimeoutError):
            if source == DATABASE_CHANGE:
                raise
            revision = _UNREAD  # the file is applied nevertheless, and the rest is read when the database is back
        await self.identify()
        composition = self._composer.compose(self._declared.settings, self._stored)
        self._report.composed(composition)
        self.served = len(composition.document.proxies)
        self.revision = revision
        await self._broker.serve(composition.grants)
        await self._plane.apply(composition.document)

    async def _read(self) -> int:
        """Read the served records of the database; returns its revision. Raises `StoreError`."""
        store = self._store
        revision = await store.revision()
        self._stored = StoredRecords(
            await store.proxies.list(),
            await store.secrets.reveal(),
            await store.secrets.bound(),
            await store.tokens.all(),
            frozenset([(each.upstream, each.origin) for each in await store.drains.list()]),
            await store.connections.list(),
            await store.actions.list(),
        )
        return revision
