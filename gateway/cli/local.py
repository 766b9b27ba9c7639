"""Acts on a database of this machine, without a gateway: one that runs finds the change by itself, within a second."""

from __future__ import annotations

import os
import pathlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Literal

from gateway.admin.declared import Declared, Undeclared
from gateway.admin.live import ELSEWHERE, NotRunning
from gateway.admin.password import PasswordHasher
from gateway.admin.service import Administration
from gateway.cli.in_process import ACTOR, InProcess
from gateway.cli.types import Json
from gateway.control.declared import DeclaredFile
from gateway.ipc.channel import NoChannel
from gateway.ipc.client import WorkerClient
from gateway.store.keys import KeyRing
from gateway.store.store import Store


class _NoHealth:
    def live(self) -> Mapping[str, object]:
        return {"status": "not running"}

    def ready(self) -> tuple[bool, Mapping[str, object]]:
        return False, {}


class LocalCaller(InProcess):
    """The routes of the API without HTTP, and what no route shows."""

    def __init__(self, administration: Administration) -> None:
        super().__init__(administration, _NoHealth())

    async def reveal(self) -> dict[str, str]:
        """The values of all secrets, for an export; the audit trail records it."""
        return await self._administration.secrets.reveal(ACTOR)

    async def origins(self) -> dict[str, list[str]]:
        """The origins to which bound secrets may be sent."""
        return await self._administration.secrets.origins(ACTOR)

    async def reveal_calls(self, kind: Literal["connection", "action"], tenant: str) -> dict[str, Json]:
        """The settings of connections or actions with their secrets, by TRN; the audit trail records it."""
        administration = self._administration
        records = administration.connection_records if kind == "connection" else administration.action_records
        return dict(await records.reveal(ACTOR, tenant))


@asynccontextmanager
async def local_caller(url: str, config: pathlib.Path | None) -> AsyncIterator[LocalCaller]:
    """Raises `StoreError` when the database is not upgraded or cannot be opened, `ConfigError` for the file."""
    declared: Declared = Undeclared(dict(os.environ)) if config is None else DeclaredFile(config, dict(os.environ))
    store = await Store.open(url, KeyRing.for_database(url, os.environ))
    away = WorkerClient(NoChannel(ELSEWHERE))
    passwords = PasswordHasher()
    try:
        yield LocalCaller(Administration(store, declared, NotRunning(), away, away, passwords=passwords))
    finally:
        await passwords.aclose()
        await store.aclose()
