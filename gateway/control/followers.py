"""The loops of the control process: each follows one thing until it is cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

from gateway.config import expiry
from gateway.config.schema.listeners import AUDIT_RETENTION
from gateway.config.watch import watch
from gateway.control.declared import DeclaredFile
from gateway.control.issuers import Issuers
from gateway.control.memory_watch import MemoryWatch
from gateway.control.report import DATABASE_CHANGE
from gateway.control.sync import STORE_SECONDS, Sync
from gateway.core.tasks import Tasks
from gateway.grants.broker import Broker
from gateway.ipc.channel import ChannelError
from gateway.ipc.fleet import Fleet
from gateway.store.errors import StoreError
from gateway.store.store import Store

_log = logging.getLogger("gateway")

_POLL_SECONDS = 0.2
_TOUCH_SECONDS = 5.0
_PRUNE_SECONDS = 3600.0


class Followers:
    """Keep ``sync`` current with file, database and issuers, and record the use of tokens in the database."""

    def __init__(
        self,
        declared: DeclaredFile,
        store: Store,
        plane: Fleet,
        sync: Sync,
        issuers: Issuers,
        memory: MemoryWatch,
        broker: Broker,
    ) -> None:
        self._memory = memory
        self._broker = broker
        self._declared = declared
        self._store = store
        self._plane = plane
        self._sync = sync
        self._issuers = issuers

    def start(self, tasks: Tasks, *, away: bool) -> None:
        """Start all of them. ``away``: the database is away now."""
        tasks.start(self._plane.keep_synced(), "watch the worker")
        tasks.start(self._memory.follow(), "watch the memory of workers")
        tasks.start(self._watch_file(), "watch the file")
        tasks.start(self._follow_store(away=away), "follow the database")
        tasks.start(self._follow_issuers(), "follow the issuers of tokens")
        tasks.start(self._broker.follow(), "follow the grants of connections")
        tasks.start(self._record_token_use(), "note the use of tokens")
        tasks.start(self._prune(), "delete what is over")
        tasks.start(expiry.warn(lambda: self._declared.settings.certificates()), "watch certificates")

    async def _watch_file(self) -> None:
        await watch(
            self._declared.path,
            lambda: self._sync.reload("file change"),
            since=self._declared.content,
            sources=lambda: self._declared.settings.sources(),
        )

    async def _follow_store(self, *, away: bool) -> None:
        """Apply changes made elsewhere: by another node of the fleet, or by the command line on this machine."""
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            try:
                async with asyncio.timeout(STORE_SECONDS):
                    revision = await self._store.revision()
                if away:
                    _log.info("the database is back")
                away = False
                if revision != self._sync.revision:
                    await self._sync.apply_current(DATABASE_CHANGE)
            except (StoreError, OSError, TimeoutError) as error:
                if not away:
                    _log.error("the database is away, what was read last stays applied: %s", error or "no response")
                away = True
                await asyncio.sleep(_POLL_SECONDS)

    async def _follow_issuers(self) -> None:
        """Fetch the keys of issuers when they are due; no other change waits for that."""

        async def changed() -> None:
            with contextlib.suppress(StoreError, OSError, TimeoutError):
                async with asyncio.timeout(STORE_SECONDS):
                    await self._sync.identify()

        await self._issuers.follow(lambda: self._declared.settings.auth.jwt, self._plane.take_wanted, changed)

    async def _record_token_use(self) -> None:
        while True:
            await asyncio.sleep(_TOUCH_SECONDS)
            with contextlib.suppress(ChannelError, StoreError, OSError, TimeoutError):
                used = await self._plane.take_used()
                if used:
                    async with asyncio.timeout(STORE_SECONDS):
                        await self._store.tokens.touch(used)

    async def _prune(self) -> None:
        """Delete tokens and logins that have expired, and old entries of the audit trail: now, and every hour."""
        while True:
            admin = self._declared.settings.admin
            keep = AUDIT_RETENTION if admin is None else admin.audit_retention
            try:
                await self._store.tokens.purge(time.time())
                if keep and (gone := await self._store.audit.prune(time.time() - keep)):
                    _log.info("%d entries of the audit trail were older than %g days", gone, keep / 86400)
            except StoreError as error:
                _log.warning("what is over could not be deleted, it is tried again in an hour: %s", error)
            await asyncio.sleep(_PRUNE_SECONDS)
