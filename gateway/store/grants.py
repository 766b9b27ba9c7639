"""Grants of connections: tokens encrypted, and bound to their row. One process at a time gets the next token.

A process leases a row, gets the token without any lock, and writes it if the row still has the version that it has
leased. So a process that dies blocks nothing for longer than its lease, and no result of an old request replaces a
newer one.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.core.grant import IssuedTokens, StoredGrant
from gateway.store.audit import Author, By, record
from gateway.store.authorizations import AuthorizationRepository
from gateway.store.database import Database
from gateway.store.errors import StoreError
from gateway.store.keys import KeyRing
from gateway.store.tables import GRANTS

_TOO_LONG = "the database rejects this token: it is longer than 65535 bytes"


class GrantRepository:
    """No configuration: who serves it looks for newer versions by itself. All methods raise `StoreUnavailable`."""

    def __init__(self, database: Database, keys: KeyRing) -> None:
        self._database = database
        self._keys = keys

    async def read(self, connection: str) -> StoredGrant | None:
        """Raises `KeyProblem` when it cannot be decrypted."""
        async with self._database.reading() as transaction:
            row = await _find(transaction, connection)
        return None if row is None else self._grant(row)

    async def versions(self) -> Mapping[str, tuple[int, str]]:
        """The version and the error of each, by connection; needs no key."""
        columns = GRANTS.c.connection, GRANTS.c.version, GRANTS.c.error
        async with self._database.reading() as transaction:
            rows = await transaction.execute(select(*columns))
            return {row.connection: (row.version, row.error) for row in rows}

    async def put(self, connection: str, binding: str, tokens: IssuedTokens, actor: By, *, began: str = "") -> int:
        """Store what a person has agreed to, instead of anything before; returns the version. Raises `StoreError`.

        ``began``: the id of its authorization, which goes with a connection that is deleted: 0, and nothing is stored,
        when it is not there any more.
        """
        author = Author(actor) if isinstance(actor, str) else actor
        row = self._sealed(connection, tokens) | {"refresh": self._refresh(connection, tokens)}
        row |= {"binding": binding, "author": author.name, "holder": "", "leased_until": 0.0, "error": ""}
        try:
            async with self._database.writing() as transaction:
                if began and not await AuthorizationRepository.is_pending_in(transaction, began):
                    return 0
                before = await _find(transaction, connection)
                version = 1 if before is None else before.version + 1
                await _write(transaction, connection, row | {"version": version}, new=before is None)
                await record(transaction, actor, "grant.put", connection, {"version": version})
        except IntegrityError:
            raise StoreError(_TOO_LONG) from None
        return version

    async def remove(self, connection: str, actor: By) -> bool:
        """Forget it; False when there is none."""
        async with self._database.writing() as transaction:
            return await self.remove_in(transaction, connection, actor)

    @staticmethod
    async def remove_in(transaction: AsyncConnection, connection: str, actor: By) -> bool:
        """As `remove`, in the transaction of another change."""
        gone = delete(GRANTS).where(GRANTS.c.connection == connection)
        if not (await transaction.execute(gone)).rowcount:
            return False
        await record(transaction, actor, "grant.revoke", connection)
        return True

    async def lease(self, connection: str, binding: str, holder: str, version: int, now: float, until: float) -> bool:
        """Whether ``holder`` alone may get the next token until then.

        ``version``: of the row that it has read; 0: there was none. A row of another binding loses its tokens."""
        async with self._database.writing() as transaction:
            row = await _find(transaction, connection)
            values: dict[str, object] = {"holder": holder, "leased_until": until}
            if (0 if row is None else row.version) != version:
                return False
            if row is None or row.binding != binding:
                values |= {"binding": binding, "refresh": None, "issued": 0.0, "expires": 0.0, "error": ""}
                values |= {"author": "", "version": version, "access": self._text(connection, "access", "")}
            elif row.holder not in ("", holder) and now < row.leased_until:
                return False
            await _write(transaction, connection, values, new=row is None)
            return True

    async def settle(self, connection: str, binding: str, version: int, tokens: IssuedTokens) -> bool:
        """Store the next token, if the row has still this version, also without the lease: a provider that
        rotates refresh tokens takes the one in the row no longer. Raises `StoreError`."""
        row = self._sealed(connection, tokens) | {"version": version + 1, "holder": "", "error": ""}
        if tokens.refresh:
            row["refresh"] = self._refresh(connection, tokens)
        same = (GRANTS.c.connection == connection, GRANTS.c.version == version, GRANTS.c.binding == binding)
        try:
            async with self._database.writing() as transaction:
                return bool((await transaction.execute(update(GRANTS).where(*same).values(**row))).rowcount)
        except IntegrityError:
            raise StoreError(_TOO_LONG) from None

    async def release(self, connection: str, holder: str, version: int, error: str) -> None:
        """Give the lease back without a token. ``error``: what the provider said; empty: it is not to blame."""
        mine = (GRANTS.c.connection == connection, GRANTS.c.holder == holder, GRANTS.c.version == version)
        async with self._database.writing() as transaction:
            await transaction.execute(update(GRANTS).where(*mine).values(holder="", error=error))

    async def rekey(self) -> int:
        """Encrypt with the current key what an older one encrypted; returns how many. Raises `KeyProblem`."""
        count = 0
        async with self._database.writing() as transaction:
            for row in (await transaction.execute(select(GRANTS))).all():
                if self._keys.is_current(row.access):
                    continue
                grant = self._grant(row)
                values = {"access": self._text(row.connection, "access", grant.access)}
                if grant.refresh:
                    values["refresh"] = self._text(row.connection, "refresh", grant.refresh)
                await transaction.execute(update(GRANTS).where(GRANTS.c.connection == row.connection).values(**values))
                count += 1
        return count

    def _grant(self, row: Row[tuple[object, ...]]) -> StoredGrant:
        name = row.connection
        return StoredGrant(
            name,
            row.binding,
            self._keys.decrypt(row.access, _place(name, "access")),
            "" if row.refresh is None else self._keys.decrypt(row.refresh, _place(name, "refresh")),
            row.issued,
            row.expires,
            row.version,
            row.holder,
            row.leased_until,
            row.error,
            row.author,
        )

    def _sealed(self, connection: str, tokens: IssuedTokens) -> dict[str, object]:
        access = self._text(connection, "access", tokens.access)
        return {"access": access, "issued": tokens.issued, "expires": tokens.expires}

    def _refresh(self, connection: str, tokens: IssuedTokens) -> bytes | None:
        return self._text(connection, "refresh", tokens.refresh) if tokens.refresh else None

    def _text(self, connection: str, column: str, text: str) -> bytes:
        return self._keys.encrypt(text, _place(connection, column))


def _place(connection: str, column: str) -> str:
    return f"grants:{connection}:{column}"


async def _find(transaction: AsyncConnection, connection: str) -> Row[tuple[object, ...]] | None:
    return (await transaction.execute(select(GRANTS).where(GRANTS.c.connection == connection))).one_or_none()


async def _write(transaction: AsyncConnection, connection: str, row: Mapping[str, object], *, new: bool) -> None:
    if new:
        await transaction.execute(insert(GRANTS).values(connection=connection, **row))
    else:
        await transaction.execute(update(GRANTS).where(GRANTS.c.connection == connection).values(**row))
