"""Authorizations that a person has begun and not ended: each is used once, and ends by itself.

They are in the database, because the browser may come back to another process than the one that sent it away.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.database import Database
from gateway.store.keys import KeyRing
from gateway.store.tables import AUTHORIZATIONS as TABLE

PENDING = "pending"
"""Of an authorization that waits for a person. Then it is ``authorized`` or ``failed``."""


@dataclass(frozen=True, slots=True)
class Authorization:
    """``state``: the digest of what the browser brings back. ``secrets``: the verifier, or the code of the device.

    ``credential``: the id of the token or login that began it. Times are seconds of the epoch, ``poll_seconds`` apart.
    """

    id: str
    state: str
    connection: str
    binding: str
    secrets: dict[str, str] = field(repr=False)
    actor: str
    credential: str
    created: float
    expires: float
    poll_seconds: float = 0.0
    next_poll: float = 0.0
    status: str = PENDING
    message: str = ""


class AuthorizationRepository:
    """All methods raise `StoreUnavailable`."""

    def __init__(self, database: Database, keys: KeyRing) -> None:
        self._database = database
        self._keys = keys

    async def add(self, new: Authorization) -> None:
        """Begin one, and forget those that ended an hour ago."""
        sealed = self._keys.encrypt(json.dumps(new.secrets), _place(new.id))
        values = {c.name: getattr(new, c.name) for c in TABLE.c if c.name != "sealed"}
        async with self._database.writing() as transaction:
            await transaction.execute(delete(TABLE).where(TABLE.c.expires < new.created - 3600.0))
            await transaction.execute(insert(TABLE).values(**values, sealed=sealed))

    async def get(self, id: str) -> Authorization | None:  # noqa: A002 - the column's name
        return await self._one(TABLE.c.id == id)

    async def take(self, state: str, now: float) -> Authorization | None:
        """The pending one of this state, once: it has no state any more then."""
        async with self._database.writing() as transaction:
            good = and_(TABLE.c.state == state, TABLE.c.status == PENDING, TABLE.c.expires > now)
            row = (await transaction.execute(select(TABLE).where(good))).one_or_none()
            if row is None:
                return None
            await transaction.execute(update(TABLE).where(TABLE.c.id == row.id).values(state=f"used {row.id}"))
            return self._authorization(row)

    async def claim_poll(self, id: str, now: float) -> Authorization | None:  # noqa: A002
        """The pending one, when a poll is due: then the next one is due after its interval."""
        async with self._database.writing() as transaction:
            due = and_(TABLE.c.id == id, TABLE.c.status == PENDING, TABLE.c.next_poll <= now, TABLE.c.expires > now)
            row = (await transaction.execute(select(TABLE).where(due))).one_or_none()
            if row is None:
                return None
            later = now + row.poll_seconds
            await transaction.execute(update(TABLE).where(TABLE.c.id == id).values(next_poll=later))
            return self._authorization(row)

    async def slow_down(self, id: str, seconds: float, now: float) -> None:  # noqa: A002
        """Poll so many seconds less often (RFC 8628 3.5)."""
        async with self._database.writing() as transaction:
            longer = TABLE.c.poll_seconds + seconds
            changed = update(TABLE).where(TABLE.c.id == id).values(poll_seconds=longer, next_poll=longer + now)
            await transaction.execute(changed)

    async def end(self, id: str, status: str, message: str) -> None:  # noqa: A002
        """What came of it. Its secrets are forgotten."""
        sealed = self._keys.encrypt("{}", _place(id))
        async with self._database.writing() as transaction:
            values = {"status": status, "message": message[:500], "sealed": sealed}
            await transaction.execute(update(TABLE).where(TABLE.c.id == id, TABLE.c.status == PENDING).values(**values))

    @staticmethod
    async def remove_in(transaction: AsyncConnection, connection: str) -> None:
        """Forget those of ``connection``, in the transaction of another change."""
        await transaction.execute(delete(TABLE).where(TABLE.c.connection == connection))

    @staticmethod
    async def is_pending_in(transaction: AsyncConnection, id: str) -> bool:  # noqa: A002
        """Whether this one still waits for its result."""
        pending = select(TABLE.c.id).where(TABLE.c.id == id, TABLE.c.status == PENDING)
        return (await transaction.execute(pending)).one_or_none() is not None

    async def _one(self, where: ColumnElement[bool]) -> Authorization | None:
        async with self._database.reading() as transaction:
            row = (await transaction.execute(select(TABLE).where(where))).one_or_none()
        return None if row is None else self._authorization(row)

    def _authorization(self, row: Row[tuple[object, ...]]) -> Authorization:
        values: dict[str, Any] = {column.name: getattr(row, column.name) for column in TABLE.c}
        secrets = json.loads(self._keys.decrypt(values.pop("sealed"), _place(values["id"])))
        return Authorization(**values, secrets=secrets)


def _place(id: str) -> str:  # noqa: A002
    return f"authorizations:{id}:sealed"
