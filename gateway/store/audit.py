"""The audit trail, and the count of changes by which others see that something is new."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.database import Database
from gateway.store.tables import AUDIT, REVISION


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@dataclass(frozen=True, slots=True)
class AuditRow:
    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    detail: Mapping[str, object]


async def record(
    connection: AsyncConnection, actor: str, action: str, subject: str, detail: Mapping[str, object] | None = None
) -> None:
    """Write one row and count the change, within the transaction of the change itself."""
    row = {"at": time.time(), "actor": actor, "action": action, "subject": subject, "detail": dict(detail or {})}
    await connection.execute(insert(AUDIT).values(**row))
    await connection.execute(update(REVISION).values(value=REVISION.c.value + 1))


class AuditTrail:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, actor: str, action: str, subject: str, detail: Mapping[str, object] | None = None) -> None:
        """A row for what changes nothing in the store, as a login."""
        async with self._database.writing() as connection:
            await record(connection, actor, action, subject, detail)

    async def list(self, page: int = 1, per_page: int = 50) -> tuple[list[AuditRow], int]:
        """The rows of a page, the newest first, and how many there are in all."""
        query = select(AUDIT).order_by(AUDIT.c.id.desc()).limit(per_page).offset((page - 1) * per_page)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
            total = (await connection.execute(select(func.count()).select_from(AUDIT))).scalar_one()
        return [AuditRow(r.id, moment(r.at), r.actor, r.action, r.subject, r.detail) for r in rows], total
