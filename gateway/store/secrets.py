"""Secrets: encrypted in the database, masked everywhere but in `reveal`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import RowMapping, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.audit import By, moment, record
from gateway.store.database import Database
from gateway.store.errors import NotFound, StoreError
from gateway.store.keys import KeyRing
from gateway.store.tables import SECRETS

_SHOWN_OF_LONG: Final = 4
_LONG: Final = 12


@dataclass(frozen=True, slots=True)
class Secret:
    key: str
    masked: str
    description: str
    version: int
    created: datetime
    updated: datetime
    origins: tuple[str, ...] = ()
    """The upstream origins that it may be sent to; none: every one."""


def mask(value: str) -> str:
    """The part of a secret that users may see: at most the last four characters, and only of a long one."""
    return "****" + (value[-_SHOWN_OF_LONG:] if len(value) >= _LONG else "")


def _place(key: str) -> str:
    return f"secrets:{key}:value"


class SecretRepository:
    def __init__(self, database: Database, keys: KeyRing) -> None:
        self._database = database
        self._keys = keys

    async def put(
        self, key: str, value: str, actor: By, description: str = "", origins: Sequence[str] | None = None
    ) -> Secret:
        """Store a new secret, or a new value of an existing one.

        ``origins``: the only upstream origins that it may be sent to; (): every one; None: as it is. Raises
        `StoreError` when it is too long.
        """
        now = time.time()
        row: dict[str, object] = {"value": self._sealed(key, value), "masked": mask(value), "updated": now}
        if origins is not None:
            row["origins"] = list(origins) or None
        try:
            async with self._database.writing() as connection:
                before = await _find(connection, key)
                if before is None:
                    row |= {"key": key, "version": 1, "created": now, "description": description}
                    await connection.execute(insert(SECRETS).values(**row))
                else:
                    row |= {"version": before["version"] + 1, "description": description or before["description"]}
                    await connection.execute(update(SECRETS).where(SECRETS.c.key == key).values(**row))
                after = (await connection.execute(select(SECRETS).where(SECRETS.c.key == key))).mappings().one()
                was = None if before is None else _facts(before)
                await record(connection, actor, "secret.put", key, before=was, after=_facts(after))
                return _secret(after)
        except IntegrityError:
            raise StoreError("the database rejects this secret: its key or its value is too long") from None

    async def bind(self, key: str, origins: Sequence[str], actor: By) -> Secret:
        """Set where it may be sent to, as `put` does. Raises `NotFound`, and `StoreError` for too many origins."""
        here = SECRETS.c.key == key
        try:
            async with self._database.writing() as connection:
                before = await _find(connection, key)
                if before is None:
                    raise NotFound(f"there is no secret {key}")
                row = {"origins": list(origins) or None, "version": before["version"] + 1, "updated": time.time()}
                await connection.execute(update(SECRETS).where(here).values(**row))
                after = (await connection.execute(select(SECRETS).where(here))).mappings().one()
                await record(connection, actor, "secret.bind", key, before=_facts(before), after=_facts(after))
                return _secret(after)
        except IntegrityError:
            raise StoreError("the database rejects these origins: there are too many of them") from None

    async def bound(self) -> dict[str, frozenset[str]]:
        """The origins of the secrets that are bound to some."""
        return {key: allowed for key, allowed in (await origins(self._database)).items() if allowed}

    def _sealed(self, key: str, value: str) -> bytes:
        try:
            return self._keys.encrypt(value, _place(key))
        except UnicodeEncodeError:  # its text would hold the value
            raise StoreError("a secret holds characters that are not Unicode; write it in UTF-8") from None

    async def list(self) -> list[Secret]:
        async with self._database.reading() as connection:
            rows = await connection.execute(select(SECRETS).order_by(SECRETS.c.key))
            return [_secret(row) for row in rows.mappings()]

    async def get(self, key: str) -> Secret | None:
        async with self._database.reading() as connection:
            row = await _find(connection, key)
        return None if row is None else _secret(row)

    async def delete(self, key: str, actor: By) -> None:
        """Raises `NotFound`."""
        async with self._database.writing() as connection:
            before = await _find(connection, key)
            if before is None:
                raise NotFound(f"there is no secret {key}")
            await connection.execute(delete(SECRETS).where(SECRETS.c.key == key))
            await record(connection, actor, "secret.delete", key, before=_facts(before))

    async def reveal(self, keys: Iterable[str] | None = None) -> dict[str, str]:
        """The values, of all or of ``keys``. Raises `KeyProblem`."""
        query = select(SECRETS.c.key, SECRETS.c.value)
        if keys is not None:
            query = query.where(SECRETS.c.key.in_(list(keys)))
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return {row.key: self._keys.decrypt(row.value, _place(row.key)) for row in rows}

    async def rekey(self, actor: By) -> int:
        """Encrypt with the current key what an older one encrypted; return how many. Raises `KeyProblem`."""
        async with self._database.writing() as connection:
            rows = (await connection.execute(select(SECRETS.c.key, SECRETS.c.value))).all()
            old = [row for row in rows if not self._keys.is_current(row.value)]
            for row in old:
                place = _place(row.key)
                value = self._keys.encrypt(self._keys.decrypt(row.value, place), place)
                await connection.execute(update(SECRETS).where(SECRETS.c.key == row.key).values(value=value))
            await record(connection, actor, "secret.rekey", "*", {"count": len(old)})
        return len(old)


async def _find(connection: AsyncConnection, key: str) -> RowMapping | None:
    return (await connection.execute(select(SECRETS).where(SECRETS.c.key == key))).mappings().one_or_none()


def _facts(row: RowMapping) -> dict[str, object]:
    """What the audit trail keeps of a secret: of its value only the part that users may see."""
    return {
        "masked_value": row["masked"],
        "description": row["description"],
        "version": row["version"],
        "origins": list(row["origins"] or ()),
    }


def _secret(row: RowMapping) -> Secret:
    return Secret(
        row["key"],
        row["masked"],
        row["description"],
        row["version"],
        moment(row["created"]),
        moment(row["updated"]),
        tuple(row["origins"] or ()),
    )


async def origins(database: Database) -> dict[str, frozenset[str]]:
    """The origins that each secret may be sent to, none for every one; needs no key. Raises `StoreUnavailable`."""
    async with database.reading() as connection:
        rows = await connection.execute(select(SECRETS.c.key, SECRETS.c.origins))
        return {row.key: frozenset(row.origins or ()) for row in rows}
