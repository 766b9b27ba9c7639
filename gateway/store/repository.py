"""Records of one kind: a name, a version that each change raises, and settings as they would stand in the file.

The settings are one JSON value, so that a new one needs no migration. A kind says which of them its table repeats in
columns of their own, because the database itself keeps them unique, how JSON becomes the value that the code uses, and
which values are secrets: those are encrypted, in a column of their own.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from sqlalchemy import RowMapping, Table, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.config.errors import ConfigError, Problem
from gateway.config.schema.section import Section
from gateway.config.secret_values import Path, redacted, value_at, with_values
from gateway.store.audit import By, moment, record
from gateway.store.database import Database
from gateway.store.errors import AlreadyExists, KeyProblem, NotFound, StoreError
from gateway.store.keys import KeyRing
from gateway.store.tables import REVISION

T = TypeVar("T")
Guard = Callable[[AsyncConnection], Awaitable[None]]
"""Raises `StoreError` when a change may not be made; it sees what the transaction of the change sees."""


@dataclass(frozen=True, slots=True)
class Unique(Generic[T]):
    """Key columns that no two records share: ``index`` names them on PostgreSQL, the first ``column`` on SQLite."""

    index: str
    column: str
    explain: Callable[[T], AlreadyExists]


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """What a kind of records adds to `Repository`.

    ``noun`` stands in errors and before the dot of an audit action. ``table`` has the columns id, version, created,
    updated and settings, and those that ``keys`` gives: ``identity``, by which a record is found, among them. ``read``
    takes the settings and the place that its `ConfigError` names. ``dump`` is its inverse, with the defaults too when
    its second argument is true.
    """

    noun: str
    table: Table
    read: Callable[[Mapping[str, object], str], T]
    dump: Callable[[T, bool], dict[str, object]]
    keys: Callable[[T], Mapping[str, object]]
    unique: tuple[Unique[T], ...]
    identity: str = "name"
    secrets: Callable[[T, Mapping[str, object]], Iterable[Path]] | None = None
    """The places of secrets in what ``dump`` gives; then ``table`` has a column ``sealed``. None: there are none."""


def dump_section(section: Section, complete: bool) -> dict[str, object]:
    """A default is not stored because a version of the gateway without that setting could not read it."""
    return section.model_dump(mode="json", exclude_defaults=not complete)


@dataclass(frozen=True, slots=True)
class Record(Generic[T]):
    """``name``: that of the record's identity. ``settings``: as they are stored, with plain JSON values, and without
    secrets; what is left out has its default.

    ``value``: the same, checked, with secrets; or why this version of the gateway cannot use what another one has
    stored.
    """

    id: str
    name: str
    version: int
    created: datetime
    updated: datetime
    settings: Mapping[str, object]
    value: T | ConfigError
    sealed: bytes | None = field(default=None, repr=False)
    """The secrets, encrypted."""


class VersionConflict(StoreError, Generic[T]):  # noqa: N818 - a state, not a mistake
    """Another change came first. ``current`` is the record as it is now."""

    def __init__(self, current: Record[T]) -> None:
        super().__init__("it was changed meanwhile; read it again and repeat the change")
        self.current = current


def usable(records: Iterable[Record[T]]) -> list[T]:
    """The values of the records that this version of the gateway can use."""
    return [record.value for record in records if not isinstance(record.value, ConfigError)]


class Repository(Generic[T]):
    """Every change writes an audit row in its own transaction. All methods raise `StoreUnavailable`.

    ``keys`` encrypt the secrets of a kind that has some.
    """

    def __init__(self, database: Database, kind: Kind[T], keys: KeyRing | None = None) -> None:
        self._database = database
        self._kind = kind
        self._keys = keys
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
                rows = (await connection.execute(select(table).order_by(table.c[self._kind.identity]))).mappings()
                self._all = tuple(self._record(row, known.get(row["id"])) for row in rows)
                self._revision = revision
            return self._all

    async def get(self, name: str) -> Record[T] | None:
        async with self._database.reading() as connection:
            return await self._find(connection, name)

    async def create(self, value: T, actor: By, guard: Guard | None = None) -> Record[T]:
        """Raises `AlreadyExists` when a value that must be unique is taken, and what ``guard`` raises."""
        kind, now, id_ = self._kind, time.time(), uuid.uuid4().hex
        row = {"id": id_, "created": now, **self._columns(id_, value, 1, now)}
        name, settings = str(row[kind.identity]), self.shown(value)
        try:
            async with self._database.writing() as connection:
                if guard is not None:
                    await guard(connection)
                await connection.execute(insert(kind.table).values(**row))
                await record(connection, actor, f"{kind.noun}.create", name, {"keys": sorted(settings)}, after=settings)
                return await self._get(connection, name)
        except IntegrityError as error:
            raise self._refusal(error, value) from None

    async def update(self, name: str, value: T, version: int, actor: By, guard: Guard | None = None) -> Record[T]:
        """Replace version ``version`` by ``value``, which may have another name.

        Raises `NotFound`, `VersionConflict` when another version is stored, and as `create`.
        """
        kind = self._kind
        try:
            async with self._database.writing() as connection:
                before = await self._get(connection, name)
                if before.version != version:
                    raise VersionConflict(before)
                if guard is not None:
                    await guard(connection)
                row = self._columns(before.id, value, version + 1, time.time())
                await connection.execute(update(kind.table).where(kind.table.c.id == before.id).values(**row))
                await self._record_update(connection, actor, before, value)
                return await self._get(connection, str(row[kind.identity]))
        except IntegrityError as error:
            raise self._refusal(error, value) from None

    async def delete(self, name: str, version: int | None, actor: By) -> None:
        """``version`` None: any version. Raises `NotFound`, `VersionConflict`."""
        async with self._database.writing() as connection:
            await self._delete(connection, name, version, actor)

    async def _delete(self, connection: AsyncConnection, name: str, version: int | None, actor: By) -> None:
        kind = self._kind
        before = await self._get(connection, name)
        if version is not None and before.version != version:
            raise VersionConflict(before)
        await connection.execute(delete(kind.table).where(kind.table.c.id == before.id))
        await record(connection, actor, f"{kind.noun}.delete", name, before=self._audited(before))

    async def rekey(self, actor: By) -> int:
        """Encrypt with the current key what an older one encrypted; return how many. Raises `KeyProblem`."""
        table, keys = self._kind.table, self._ring
        async with self._database.writing() as connection:
            rows = (await connection.execute(select(table).where(table.c.sealed.is_not(None)))).mappings().all()
            old = [row for row in rows if not keys.is_current(row["sealed"])]
            for row in old:
                place = self._place(row["id"])
                sealed = keys.encrypt(keys.decrypt(row["sealed"], place), place)
                await connection.execute(update(table).where(table.c.id == row["id"]).values(sealed=sealed))
            await record(connection, actor, f"{self._kind.noun}.rekey", "*", {"count": len(old)})
        return len(old)

    async def _get(self, connection: AsyncConnection, name: str) -> Record[T]:
        """Raises `NotFound`."""
        found = await self._find(connection, name)
        if found is None:
            raise NotFound(f"there is no {self._kind.noun} {name} in the database")
        return found

    async def _find(self, connection: AsyncConnection, name: str) -> Record[T] | None:
        table = self._kind.table
        found = await connection.execute(select(table).where(table.c[self._kind.identity] == name))
        row = found.mappings().one_or_none()
        return None if row is None else self._record(row)

    def _record(self, row: RowMapping, known: Record[T] | None = None) -> Record[T]:
        """``known``: the record as it was; its value is used again if the settings are the same."""
        name, settings = str(row[self._kind.identity]), row["settings"]
        sealed = None if self._kind.secrets is None else row["sealed"]
        if not isinstance(settings, dict):
            return self._unreadable(row)
        same = known is not None and (known.name, known.settings, known.sealed) == (name, settings, sealed)
        value = known.value if known is not None and same else self._value(row["id"], name, settings, sealed)
        created, updated = moment(row["created"]), moment(row["updated"])
        return Record(row["id"], name, row["version"], created, updated, settings, value, sealed)

    def _unreadable(self, row: RowMapping) -> Record[T]:
        """A row that was changed by hand: its settings are no mapping."""
        name = str(row[self._kind.identity])
        problem = Problem("the stored settings are not a mapping; write them again")
        error = ConfigError(f"{self._kind.noun} {name} of the database", [problem])
        return Record(
            row["id"], name, row["version"], moment(row["created"]), moment(row["updated"]), {"name": name}, error
        )

    def _value(self, id_: str, name: str, settings: Mapping[str, object], sealed: bytes | None) -> T | ConfigError:
        place = f"{self._kind.noun} {name} of the database"
        try:
            return self._kind.read(self._opened(id_, settings, sealed), place)
        except ConfigError as error:
            return error
        except KeyProblem as error:
            return ConfigError(place, [Problem(str(error))])

    def secrets(self, value: T) -> dict[Path, object]:
        """The secrets of ``value``, by their places in its settings."""
        settings = self._kind.dump(value, False)
        places = () if self._kind.secrets is None else self._kind.secrets(value, settings)
        return {path: value_at(settings, path) for path in places}

    def changes(self, before: T, after: T) -> tuple[str, ...]:
        """The keys of the settings that differ, secrets too."""
        old, new = self._kind.dump(before, True), self._kind.dump(after, True)
        return tuple(sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key)))

    def _columns(self, id_: str, value: T, version: int, updated: float) -> dict[str, object]:
        kind = self._kind
        settings = kind.dump(value, False)
        row = {"version": version, "updated": updated, "settings": settings, **kind.keys(value)}
        if kind.secrets is None:
            return row
        hidden = self.secrets(value)
        sealed = self._ring.encrypt(json.dumps([*hidden.items()]), self._place(id_)) if hidden else None
        return {**row, "settings": redacted(settings, hidden), "sealed": sealed}

    def _opened(self, id_: str, settings: Mapping[str, object], sealed: bytes | None) -> Mapping[str, object]:
        """The settings with their secrets. Raises `KeyProblem`."""
        if sealed is None:
            return settings
        hidden = json.loads(self._ring.decrypt(sealed, self._place(id_)))
        opened: Mapping[str, object] = with_values(settings, {tuple(path): value for path, value in hidden})
        return opened

    def _place(self, id_: str) -> str:
        return f"{self._kind.table.name}:{id_}:sealed"

    @property
    def _ring(self) -> KeyRing:
        assert self._keys is not None, "a kind with secrets needs keys"
        return self._keys

    def _refusal(self, error: IntegrityError, value: T) -> StoreError:
        text = str(error.orig)
        for unique in self._kind.unique:
            if unique.index in text or f"{self._kind.table.name}.{unique.column}" in text:
                return unique.explain(value)
        return StoreError(f"the database rejects this {self._kind.noun}: a value is outside its bounds")

    async def _record_update(self, connection: AsyncConnection, actor: By, before: Record[T], value: T) -> None:
        """Both sides are complete, so that a default that is written out on one side alone is no change."""
        old, new = self._audited(before), self.shown(value)
        if isinstance(before.value, ConfigError):
            keys = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
        else:
            keys = [*self.changes(before.value, value)]
        was, is_ = ({key: side[key] for key in keys if key in side} for side in (old, new))
        action = f"{self._kind.noun}.update"
        await record(connection, actor, action, before.name, {"keys": keys}, before=was, after=is_)

    def shown(self, value: T) -> dict[str, object]:
        """Every setting, the defaults too, without secrets."""
        settings = self._kind.dump(value, True)
        if self._kind.secrets is None:
            return settings
        shown: dict[str, object] = redacted(settings, self._kind.secrets(value, settings))
        return shown

    def _audited(self, found: Record[T]) -> Mapping[str, object]:
        """The settings as an audit row has them: complete, or as they are stored if this version cannot read them."""
        return found.settings if isinstance(found.value, ConfigError) else self.shown(found.value)
