"""Records of one kind: a name, a version that each change raises, and settings as they would stand in the file.

The settings are one JSON value, so that a new one needs no migration. A kind says which of them its table repeats in
columns of their own, because the database itself keeps them unique, and how JSON becomes the value that the code uses.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from sqlalchemy import RowMapping, Table, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.config.errors import ConfigError, Problem
from gateway.config.schema.section import Section
from gateway.store.audit import By, moment, record
from gateway.store.database import Database
from gateway.store.errors import AlreadyExists, NotFound, StoreError
from gateway.store.tables import REVISION

T = TypeVar("T", bound=Section)


@dataclass(frozen=True, slots=True)
class Unique(Generic[T]):
    """Key columns that no two records share: ``index`` names them on PostgreSQL, the first ``column`` on SQLite."""

    index: str
    column: str
    explain: Callable[[T], AlreadyExists]


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """What a kind of records adds to `Repository`.

    ``noun`` stands in errors and before the dot of an audit action. ``table`` has the columns id, name, version,
    created, updated and settings. ``read`` takes the settings and the place that its `ConfigError` names. ``keys``
    gives the key columns, ``name`` among them.
    """

    noun: str
    table: Table
    read: Callable[[Mapping[str, object], str], T]
    keys: Callable[[T], Mapping[str, object]]
    unique: tuple[Unique[T], ...]


@dataclass(frozen=True, slots=True)
class Record(Generic[T]):
    """``settings``: as they are stored, with plain JSON values; what is left out has its default.

    ``value``: the same, checked; or why this version of the gateway cannot use what another one has stored.
    """

    id: str
    name: str
    version: int
    created: datetime
    updated: datetime
    settings: Mapping[str, object]
    value: T | ConfigError


class VersionConflict(StoreError, Generic[T]):  # noqa: N818 - a state, not a mistake
    """Another change came first. ``current`` is the record as it is now."""

    def __init__(self, current: Record[T]) -> None:
        super().__init__("it was changed meanwhile; read it again and repeat the change")
        self.current = current


def usable(records: Iterable[Record[T]]) -> list[T]:
    """The values of the records that this version of the gateway can use."""
    return [record.value for record in records if not isinstance(record.value, ConfigError)]


class Repository(Generic[T]):
    """Every change writes an audit row in its own transaction. All methods raise `StoreUnavailable`."""

    def __init__(self, database: Database, kind: Kind[T]) -> None:
        self._database = database
        self._kind = kind
        self._all: tuple[Record[T], ...] = ()
        self._revision = -1
        """That of the changes that `_all` knows."""

    async def list(self) -> tuple[Record[T], ...]:
        """All, by name. Read again only when something has changed, in whatever process."""
        table = self._kind.table
        async with self._database.reading() as connection:
            revision = (await connection.execute(select(REVISION.c.value))).scalar_one()
            if revision != self._revision:
                known = {record.id: record for record in self._all}
                rows = (await connection.execute(select(table).order_by(table.c.name))).mappings()
                self._all = tuple(self._record(row, known.get(row["id"])) for row in rows)
                self._revision = revision
            return self._all

    async def get(self, name: str) -> Record[T] | None:
        async with self._database.reading() as connection:
            return await self._find(connection, name)

    async def create(self, value: T, actor: By) -> Record[T]:
        """Raises `AlreadyExists` when a value that must be unique is taken."""
        kind, now = self._kind, time.time()
        row = {"id": uuid.uuid4().hex, "created": now, **self._columns(value, 1, now)}
        settings = _complete(value)
        try:
            async with self._database.writing() as connection:
                await connection.execute(insert(kind.table).values(**row))
                facts = {"keys": sorted(settings)}
                await record(connection, actor, f"{kind.noun}.create", str(row["name"]), facts, after=settings)
                return await self._get(connection, str(row["name"]))
        except IntegrityError as error:
            raise self._refusal(error, value) from None

    async def update(self, name: str, value: T, version: int, actor: By) -> Record[T]:
        """Replace version ``version`` by ``value``, which may have another name.

        Raises `NotFound`, `VersionConflict` when another version is stored, `AlreadyExists` as `create`.
        """
        kind = self._kind
        row = self._columns(value, version + 1, time.time())
        try:
            async with self._database.writing() as connection:
                before = await self._get(connection, name)
                if before.version != version:
                    raise VersionConflict(before)
                await connection.execute(update(kind.table).where(kind.table.c.id == before.id).values(**row))
                await _record_update(connection, actor, f"{kind.noun}.update", before, _complete(value))
                return await self._get(connection, str(row["name"]))
        except IntegrityError as error:
            raise self._refusal(error, value) from None

    async def delete(self, name: str, version: int | None, actor: By) -> None:
        """``version`` None: any version. Raises `NotFound`, `VersionConflict`."""
        kind = self._kind
        async with self._database.writing() as connection:
            before = await self._get(connection, name)
            if version is not None and before.version != version:
                raise VersionConflict(before)
            await connection.execute(delete(kind.table).where(kind.table.c.id == before.id))
            await record(connection, actor, f"{kind.noun}.delete", name, before=_shown(before))

    async def _get(self, connection: AsyncConnection, name: str) -> Record[T]:
        """Raises `NotFound`."""
        found = await self._find(connection, name)
        if found is None:
            raise NotFound(f"there is no {self._kind.noun} {name} in the database")
        return found

    async def _find(self, connection: AsyncConnection, name: str) -> Record[T] | None:
        table = self._kind.table
        row = (await connection.execute(select(table).where(table.c.name == name))).mappings().one_or_none()
        return None if row is None else self._record(row)

    def _record(self, row: RowMapping, known: Record[T] | None = None) -> Record[T]:
        """``known``: the record as it was; its value is used again if the settings are the same."""
        name, settings = str(row["name"]), row["settings"]
        if not isinstance(settings, dict):
            return self._unreadable(row)
        same = known is not None and (known.name, known.settings) == (name, settings)
        value = known.value if known is not None and same else self._value(name, settings)
        created, updated = moment(row["created"]), moment(row["updated"])
        return Record(row["id"], name, row["version"], created, updated, settings, value)

    def _unreadable(self, row: RowMapping) -> Record[T]:
        """A row that was changed by hand: its settings are no mapping."""
        name = str(row["name"])
        problem = Problem("the stored settings are not a mapping; write them again")
        error = ConfigError(f"{self._kind.noun} {name} of the database", [problem])
        return Record(
            row["id"], name, row["version"], moment(row["created"]), moment(row["updated"]), {"name": name}, error
        )

    def _value(self, name: str, settings: Mapping[str, object]) -> T | ConfigError:
        try:
            return self._kind.read(settings, f"{self._kind.noun} {name} of the database")
        except ConfigError as error:
            return error

    def _columns(self, value: T, version: int, updated: float) -> dict[str, object]:
        """A default is not stored because a version of the gateway without that setting could not read it."""
        settings = value.model_dump(mode="json", exclude_defaults=True)
        return {"version": version, "updated": updated, "settings": settings, **self._kind.keys(value)}

    def _refusal(self, error: IntegrityError, value: T) -> StoreError:
        text = str(error.orig)
        for unique in self._kind.unique:
            if unique.index in text or f"{self._kind.table.name}.{unique.column}" in text:
                return unique.explain(value)
        return StoreError(f"the database rejects this {self._kind.noun}: a value is outside its bounds")


async def _record_update(
    connection: AsyncConnection, actor: By, action: str, before: Record[T], settings: Mapping[str, object]
) -> None:
    """Both sides are complete, so that a default that is written out on one side alone is no change."""
    old = _shown(before)
    keys = sorted(key for key in old.keys() | settings.keys() if old.get(key) != settings.get(key))
    was, is_ = ({key: side[key] for key in keys if key in side} for side in (old, settings))
    await record(connection, actor, action, before.name, {"keys": keys}, before=was, after=is_)


def _complete(value: Section) -> dict[str, object]:
    """Every setting, the defaults too."""
    return value.model_dump(mode="json")


def _shown(found: Record[T]) -> Mapping[str, object]:
    """The settings as an audit row has them: complete, or as they are stored if this version cannot read them."""
    return found.settings if isinstance(found.value, ConfigError) else _complete(found.value)
