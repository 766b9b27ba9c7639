"""Proxies in the database, each in the shape in which it would stand in the file."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.audit import By, moment, record
from gateway.store.database import Database
from gateway.store.problem import AlreadyExists, NotFound, StoreError
from gateway.store.tables import PROXIES, REVISION

_PLAIN: Final = ("name", "path", "hosts", "upstream", "strip_path", "preserve_host", "access_rule", "headers", "active")
_OPTIONAL: Final = (
    "max_concurrent",
    "limiter",
    "queue",
    "circuit_breaker",
    "server_timing",
    "rewrite_location",
    "cors",
)
"""NULL where the default holds."""
_DEFAULTS: Final[Mapping[str, object]] = {
    "hosts": [],
    "strip_path": True,
    "preserve_host": False,
    "access_rule": "",
    "headers": {},
    "active": True,
}


@dataclass(frozen=True, slots=True)
class StoredProxy:
    """``settings``: the proxy as it would stand in the file, with plain JSON values."""

    id: str
    name: str
    version: int
    created: datetime
    updated: datetime
    settings: Mapping[str, object]


class VersionConflict(StoreError):  # noqa: N818 - a state, not a mistake
    """Somebody else changed it first. ``current`` is what stands now."""

    def __init__(self, current: StoredProxy) -> None:
        super().__init__("it was changed meanwhile; read it again and repeat the change")
        self.current = current


def _columns(settings: Mapping[str, object]) -> dict[str, object]:
    columns = {name: settings.get(name, _DEFAULTS.get(name)) for name in _PLAIN}
    timeouts = dict(cast(Mapping[str, object], settings.get("timeout_config") or {}))
    total = timeouts.pop("total", None)
    return {
        **columns,
        "hosts_key": ",".join(sorted(set(cast(list[str], columns["hosts"])))),
        "timeout": total or None,
        "timeout_config": timeouts or None,
        **{name: settings.get(name) for name in _OPTIONAL},
    }


def _stored(row: Row[Any]) -> StoredProxy:
    settings: dict[str, object] = {name: getattr(row, name) for name in _PLAIN}
    settings |= {name: getattr(row, name) for name in _OPTIONAL if getattr(row, name) is not None}
    timeouts = {**(row.timeout_config or {}), **({"total": row.timeout} if row.timeout else {})}
    if timeouts:
        settings["timeout_config"] = timeouts
    return StoredProxy(row.id, row.name, row.version, moment(row.created), moment(row.updated), settings)


class ProxyRepository:
    """Every change writes an audit row in its own transaction. All raise `StoreUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._all: tuple[StoredProxy, ...] = ()
        self._revision = -1
        """That of the changes that `_all` knows."""

    async def list(self) -> tuple[StoredProxy, ...]:
        """All, by name. Read anew only when something has changed, be it by others."""
        async with self._database.reading() as connection:
            revision = (await connection.execute(select(REVISION.c.value))).scalar_one()
            if revision != self._revision:
                rows = await connection.execute(select(PROXIES).order_by(PROXIES.c.name))
                self._all = tuple(_stored(row) for row in rows)
                self._revision = revision
            return self._all

    async def get(self, name: str) -> StoredProxy | None:
        async with self._database.reading() as connection:
            return await _get(connection, name)

    async def create(self, settings: Mapping[str, object], actor: By) -> StoredProxy:
        """Raises `AlreadyExists` when the name, or the path for the same hosts, is taken."""
        now = time.time()
        row = {"id": uuid.uuid4().hex, "version": 1, "created": now, "updated": now, **_columns(settings)}
        name = str(settings["name"])
        try:
            async with self._database.writing() as connection:
                await connection.execute(insert(PROXIES).values(**row))
                await record(connection, actor, "proxy.create", name, {"keys": sorted(settings)}, after=settings)
                stored = await _get(connection, name)
        except IntegrityError as error:
            raise _taken(error, settings) from None
        assert stored is not None
        return stored

    async def update(self, name: str, settings: Mapping[str, object], version: int, actor: By) -> StoredProxy:
        """Put ``settings``, which may hold another name, in the place of version ``version``.

        Raises `NotFound`, `VersionConflict` when another version stands there, `AlreadyExists` as `create`.
        """
        new_name = str(settings["name"])
        try:
            async with self._database.writing() as connection:
                before = await _get(connection, name)
                if before is None:
                    raise NotFound(f"there is no proxy {name} in the database")
                if before.version != version:
                    raise VersionConflict(before)
                columns = {"version": version + 1, "updated": time.time(), **_columns(settings)}
                await connection.execute(update(PROXIES).where(PROXIES.c.id == before.id).values(**columns))
                stored = await _get(connection, new_name)
                assert stored is not None
                # As they are stored, both: a default that was written out is no change.
                keys = _changed(before.settings, stored.settings)
                was, becomes = ({k: s[k] for k in keys if k in s} for s in (before.settings, stored.settings))
                await record(connection, actor, "proxy.update", name, {"keys": keys}, before=was, after=becomes)
        except IntegrityError as error:
            raise _taken(error, settings) from None
        assert stored is not None
        return stored

    async def delete(self, name: str, version: int | None, actor: By) -> None:
        """``version`` None: whatever stands there. Raises `NotFound`, `VersionConflict`."""
        async with self._database.writing() as connection:
            before = await _get(connection, name)
            if before is None:
                raise NotFound(f"there is no proxy {name} in the database")
            if version is not None and before.version != version:
                raise VersionConflict(before)
            await connection.execute(delete(PROXIES).where(PROXIES.c.id == before.id))
            await record(connection, actor, "proxy.delete", name, before=before.settings)


async def _get(connection: AsyncConnection, name: str) -> StoredProxy | None:
    row = (await connection.execute(select(PROXIES).where(PROXIES.c.name == name))).one_or_none()
    return None if row is None else _stored(row)


def _changed(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    return sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))


def _taken(error: IntegrityError, settings: Mapping[str, object]) -> StoreError:
    text = str(error.orig)
    if "idx_proxies_path" in text or "proxies.path" in text:
        return AlreadyExists("path", f"another proxy serves {settings['path']} for the same hosts; choose another path")
    if "proxies_name_key" in text or "proxies.name" in text:
        return AlreadyExists("name", f"there is a proxy {settings['name']} already; choose another name")
    return StoreError("the database refuses this proxy: a value is outside its bounds")
