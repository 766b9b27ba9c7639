"""The audit trail, and the count of changes by which other processes notice a change."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.config import header_template
from gateway.store.database import Database
from gateway.store.tables import AUDIT, REVISION

_PRUNED_AT_ONCE: Final = 1000
"""Rows in one transaction; it bounds how long other writers wait."""
_LONGEST_SCHEME: Final = 12
MASKED: Final = "****"


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@dataclass(frozen=True, slots=True)
class Author:
    """The author of an action. ``client``: the address, ``credential``: the id of the token or login presented."""

    name: str
    client: str = ""
    credential: str = ""


By = Author | str
"""A text is the name of an author with no other known attributes."""


@dataclass(frozen=True, slots=True)
class AuditRow:
    """``before`` and ``after`` hold the values that a change touched; None: there was, or is, nothing."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    detail: Mapping[str, object]
    client: str | None = None
    credential: str | None = None
    before: Mapping[str, object] | None = None
    after: Mapping[str, object] | None = None


async def record(
    connection: AsyncConnection,
    by: By,
    action: str,
    subject: str,
    detail: Mapping[str, object] | None = None,
    *,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
) -> None:
    """Write one row and count the change, within the transaction of the change itself."""
    await _write(connection, by, action, subject, detail, before, after)
    await connection.execute(update(REVISION).values(value=REVISION.c.value + 1))


async def _write(
    connection: AsyncConnection,
    by: By,
    action: str,
    subject: str,
    detail: Mapping[str, object] | None,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
) -> None:
    author = Author(by) if isinstance(by, str) else by
    row = {
        "at": time.time(),
        "actor": author.name,
        "action": action,
        "subject": subject,
        "detail": dict(detail or {}),
        "client": author.client or None,
        "credential": author.credential or None,
        "before": None if before is None else without_secrets(before),
        "after": None if after is None else without_secrets(after),
    }
    await connection.execute(insert(AUDIT).values(**row))


def without_secrets(settings: Mapping[str, object]) -> dict[str, object]:
    """``settings`` as they may be kept: without the credentials that are written out in header fields.

    A template stays, with a short word before it, as in ``Bearer {secret.KEY}``: it names a secret and holds none.
    """
    headers = settings.get("headers")
    if not isinstance(headers, Mapping):
        return dict(settings)
    return {**settings, "headers": {name: _shown(str(name), str(value)) for name, value in headers.items()}}


def _shown(name: str, value: str) -> str:
    if not value or not header_template.is_credential(name):
        return value
    written_out = header_template.literal(value)
    return value if header_template.is_template(value) and len(written_out) <= _LONGEST_SCHEME else MASKED


class AuditTrail:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, by: By, action: str, subject: str, detail: Mapping[str, object] | None = None) -> None:
        """A row for what changes nothing in the store, such as a failed login: it counts as no change."""
        async with self._database.writing() as connection:
            await _write(connection, by, action, subject, detail)

    async def list(self, page: int = 1, per_page: int = 50) -> tuple[list[AuditRow], int]:
        """The rows of a page, the newest first, and how many there are in all."""
        query = select(AUDIT).order_by(AUDIT.c.id.desc()).limit(per_page).offset((page - 1) * per_page)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
            total = (await connection.execute(select(func.count()).select_from(AUDIT))).scalar_one()
        return [
            AuditRow(
                r.id,
                moment(r.at),
                r.actor,
                r.action,
                r.subject,
                r.detail,
                r.client,
                r.credential,
                r.before,
                r.after,
            )
            for r in rows
        ], total

    async def prune(self, before: float) -> int:
        """Delete rows older than ``before`` (epoch seconds), in batches; return how many. It counts as no change."""
        gone = 0
        while True:
            old = select(AUDIT.c.id).where(AUDIT.c.at < before).order_by(AUDIT.c.at).limit(_PRUNED_AT_ONCE)
            async with self._database.writing() as connection:
                found = (await connection.execute(delete(AUDIT).where(AUDIT.c.id.in_(old)))).rowcount
            gone += found
            if found < _PRUNED_AT_ONCE:
                return gone
