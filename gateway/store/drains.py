"""The endpoints that an operator has drained, by hand and until further notice: no setting of a file or a proxy."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.config import records
from gateway.store.audit import Author, By, moment, record
from gateway.store.database import Database
from gateway.store.errors import LastEndpoint, StoreError
from gateway.store.tables import DRAINED_ENDPOINTS


@dataclass(frozen=True, slots=True)
class DrainedEndpoint:
    """``upstream``: the name of its record (`gateway.config.records.Upstream`); ``origin``: scheme, host and port."""

    upstream: str
    origin: str
    at: datetime
    actor: str


class DrainRepository:
    """It does not know which endpoints are configured: one that is drained may be gone, and may come back."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self) -> list[DrainedEndpoint]:
        """All, by upstream and origin."""
        table = DRAINED_ENDPOINTS
        async with self._database.reading() as connection:
            rows = await connection.execute(select(table).order_by(table.c.upstream, table.c.origin))
            return [DrainedEndpoint(row.upstream, row.origin, moment(row.at), row.actor) for row in rows]

    async def add(self, upstream: str, origin: str, actor: By, *, others: Collection[str] | None) -> bool:
        """Drain one; False when it is drained already, which stays as it is noted.

        ``others``: origins of the same upstream, one of which must stay: raises `LastEndpoint` when all of them are
        drained. None: none has to stay. Raises `StoreError` for a value that is too long.
        """
        try:
            async with self._database.writing() as connection:
                return await _add(connection, upstream, origin, actor, others)
        except IntegrityError:
            raise StoreError("the database rejects this endpoint: a value is outside its bounds") from None

    async def remove(self, upstream: str, origin: str, actor: By) -> bool:
        """Give it requests again; False when no operator has drained it."""
        table = DRAINED_ENDPOINTS
        async with self._database.writing() as connection:
            gone = delete(table).where(table.c.upstream == upstream, table.c.origin == origin)
            if not (await connection.execute(gone)).rowcount:
                return False
            await record(connection, actor, "endpoint.undrain", _shown(upstream), {"endpoint": origin})
        return True


async def _add(
    connection: AsyncConnection, upstream: str, origin: str, actor: By, others: Collection[str] | None
) -> bool:
    table = DRAINED_ENDPOINTS
    rows = await connection.execute(select(table.c.origin).where(table.c.upstream == upstream))
    drained = {row.origin for row in rows}
    if origin in drained:
        return False
    if others is not None and drained.issuperset(others):
        raise LastEndpoint(f"{origin} is the last endpoint that is not drained")
    author = Author(actor) if isinstance(actor, str) else actor
    row = {"upstream": upstream, "origin": origin, "at": time.time(), "actor": author.name}
    await connection.execute(insert(table).values(**row))
    await record(connection, actor, "endpoint.drain", _shown(upstream), {"endpoint": origin})
    return True


def _shown(upstream: str) -> str:
    return upstream.removeprefix(records.NAMED)
