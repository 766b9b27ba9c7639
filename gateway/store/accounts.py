"""Superusers and tokens. Passwords and tokens come here as hashes only."""

from __future__ import annotations

import dataclasses
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import RowMapping, bindparam, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.audit import Author, By, moment, record
from gateway.store.database import Database
from gateway.store.errors import AlreadyExists, LastSuperuser, NotFound, StoreError
from gateway.store.tables import SUPERUSERS, TOKENS


@dataclass(frozen=True, slots=True)
class Superuser:
    id: str
    email: str
    created: datetime


@dataclass(frozen=True, slots=True)
class Token:
    """``kind`` "superuser": a login. ``expires_at`` in epoch seconds, 0: never.

    ``owner``: the id of the superuser; the token ends with it. ``maker``: the name of its maker. Both are None for
    tokens that were made before makers were recorded.
    """

    id: str
    name: str
    kind: str
    superuser: bool
    owner: str | None
    created: datetime
    expires_at: float
    last_used: datetime | None
    claims: Mapping[str, object]
    scope: str | None = None
    """The only use that it allows: "metrics"; None: everything that its kind allows."""
    maker: str | None = None
    client: str | None = None
    """The address from which a login came."""


class SuperuserRepository:
    """Emails are kept, and compared, in lower case."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, email: str, password_hash: str, actor: By) -> Superuser:
        """Raises `AlreadyExists`, and `StoreError` for an invalid email."""
        made = Superuser(uuid.uuid4().hex, email.lower(), moment(time.time()))
        row = {"id": made.id, "email": made.email, "password_hash": password_hash, "created": made.created.timestamp()}
        try:
            async with self._database.writing() as connection:
                await connection.execute(insert(SUPERUSERS).values(**row))
                await record(connection, actor, "superuser.create", made.email, after={"email": made.email})
        except IntegrityError as error:
            if "superusers.email" in str(error.orig) or "superusers_email_key" in str(error.orig):
                raise AlreadyExists("email", f"there is a superuser {made.email} already") from None
            raise StoreError("the database rejects this superuser: a value is outside its bounds") from None
        return made

    async def by_email(self, email: str) -> tuple[Superuser, str] | None:
        """The superuser and the hash of the password."""
        async with self._database.reading() as connection:
            row = (
                await connection.execute(select(SUPERUSERS).where(SUPERUSERS.c.email == email.lower()))
            ).one_or_none()
        return None if row is None else (Superuser(row.id, row.email, moment(row.created)), row.password_hash)

    async def list(self) -> list[Superuser]:
        async with self._database.reading() as connection:
            rows = await connection.execute(select(SUPERUSERS).order_by(SUPERUSERS.c.email))
            return [Superuser(row.id, row.email, moment(row.created)) for row in rows]

    async def delete(self, id: str, actor: By) -> None:  # noqa: A002 - the column's name
        """Their logins, and the superuser tokens that they made, end with them.

        Raises `NotFound`, and `LastSuperuser` for the last one.
        """
        async with self._database.writing() as connection:
            rows = (await connection.execute(select(SUPERUSERS.c.id, SUPERUSERS.c.email))).all()
            found = {row.id: row.email for row in rows}
            if id not in found:
                raise NotFound(f"there is no superuser {id}")
            if len(found) == 1:
                raise LastSuperuser("this is the last superuser; create another one first")
            ended = await _end(connection, id, ("superuser", "token"))
            await connection.execute(delete(SUPERUSERS).where(SUPERUSERS.c.id == id))
            await record(connection, actor, "superuser.delete", found[id], ended, before={"email": found[id]})

    async def set_password(
        self,
        id: str,  # noqa: A002 - the column's name
        password_hash: str,
        actor: By,
        *,
        keep: str = "",
        tokens: bool = False,
    ) -> str:
        """Change the password; the superuser's email. All logins end except the one with the digest ``keep``.

        ``tokens``: the superuser tokens that this superuser made end too. Raises `NotFound`.
        """
        async with self._database.writing() as connection:
            row = (await connection.execute(select(SUPERUSERS).where(SUPERUSERS.c.id == id))).one_or_none()
            if row is None:
                raise NotFound(f"there is no superuser {id}")
            changed = update(SUPERUSERS).where(SUPERUSERS.c.id == id).values(password_hash=password_hash)
            await connection.execute(changed)
            ended = await _end(connection, id, ("superuser", "token") if tokens else ("superuser",), keep)
            await record(connection, actor, "superuser.password", row.email, ended)
        return str(row.email)


async def _end(connection: AsyncConnection, owner: str, kinds: Sequence[str], keep: str = "") -> dict[str, object]:
    """End what belongs to a superuser, except the digest ``keep``; return how many, for the audit trail."""
    ended: dict[str, object] = {}
    for kind in kinds:
        gone = delete(TOKENS).where(TOKENS.c.owner == owner, TOKENS.c.kind == kind, TOKENS.c.digest != keep)
        ended["logins" if kind == "superuser" else "tokens"] = (await connection.execute(gone)).rowcount
    return ended


class TokenRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self,
        name: str,
        digest: str,
        kind: str,
        superuser: bool,
        owner: str | None,
        expires_at: float,
        claims: Mapping[str, object],
        actor: By,
        scope: str | None = None,
        *,
        password_hash: str | None = None,
    ) -> Token:
        """``password_hash``: what a login was verified against; it must still be its owner's.

        Raises `NotFound` when the owner is gone or has another password by now, `StoreError` when a value is outside
        its bounds.
        """
        author = Author(actor) if isinstance(actor, str) else actor
        now = time.time()
        client = (author.client or None) if kind == "superuser" else None
        made = Token(
            uuid.uuid4().hex,
            name,
            kind,
            superuser,
            owner,
            moment(now),
            expires_at,
            None,
            dict(claims),
            scope,
            author.name,
            client,
        )
        row = dataclasses.asdict(made) | {"digest": digest, "created": now}
        try:
            async with self._database.writing() as connection:
                if password_hash is not None:
                    await _check_password(connection, owner, password_hash)
                await connection.execute(insert(TOKENS).values(**row))
                await _record_creation(connection, author, made)
        except IntegrityError as error:
            raise _rejected(error) from None
        return made

    async def list(self, kind: str | None = None) -> list[Token]:
        """All, or those of one kind, the oldest first; also those that have expired and are not purged yet."""
        query = select(TOKENS).order_by(TOKENS.c.created)
        async with self._database.reading() as connection:
            rows = await connection.execute(query if kind is None else query.where(TOKENS.c.kind == kind))
            return [_token(row) for row in rows.mappings()]

    async def all(self) -> dict[str, Token]:
        """Those that are valid now, by their digest."""
        good = or_(TOKENS.c.expires_at == 0, TOKENS.c.expires_at > time.time())
        async with self._database.reading() as connection:
            rows = await connection.execute(select(TOKENS).where(good))
            return {row["digest"]: _token(row) for row in rows.mappings()}

    async def delete(self, id: str, actor: By, kind: str | None = None) -> None:  # noqa: A002 - the column's name
        """Raises `NotFound`, also for one that is not of ``kind``."""
        query = select(TOKENS).where(TOKENS.c.id == id)
        async with self._database.writing() as connection:
            found = await connection.execute(query if kind is None else query.where(TOKENS.c.kind == kind))
            row = found.mappings().one_or_none()
            if row is None:
                raise NotFound(f"there is no {'login' if kind == 'superuser' else 'token'} {id}")
            await connection.execute(delete(TOKENS).where(TOKENS.c.id == id))
            token = _token(row)
            action = "session.end" if token.kind == "superuser" else "token.delete"
            await record(connection, actor, action, token.name, before={"id": id, **_facts(token)})

    async def delete_by_digest(self, digest: str, actor: By) -> None:
        """A logout; nothing happens when there is no such token."""
        async with self._database.writing() as connection:
            if (await connection.execute(delete(TOKENS).where(TOKENS.c.digest == digest))).rowcount:
                await record(connection, actor, "logout", actor if isinstance(actor, str) else actor.name)

    async def touch(self, used: Mapping[str, float]) -> None:
        """Note the last use of tokens, by digest in epoch seconds. No one is notified of it."""
        statement = update(TOKENS).where(TOKENS.c.digest == bindparam("d")).values(last_used=bindparam("at"))
        if used:
            async with self._database.writing() as connection:
                await connection.execute(statement, [{"d": digest, "at": at} for digest, at in used.items()])

    async def good(self, id: str, now: float) -> bool:  # noqa: A002
        """Whether the token or login of this id belongs to a superuser, was not revoked, and has not expired."""
        found = select(TOKENS.c.expires_at).where(TOKENS.c.id == id, TOKENS.c.superuser)
        async with self._database.reading() as connection:
            ends = (await connection.execute(found)).scalar()
        return ends is not None and (not ends or now < ends)

    async def purge(self, now: float) -> int:
        """Delete what expired before ``now``; return how many."""
        async with self._database.writing() as connection:
            gone = delete(TOKENS).where(TOKENS.c.expires_at > 0, TOKENS.c.expires_at <= now)
            return (await connection.execute(gone)).rowcount


async def _record_creation(connection: AsyncConnection, author: Author, made: Token) -> None:
    if made.kind == "superuser":
        author = Author(author.name, author.client, made.id)
        await record(connection, author, "login.ok", made.name, after={"expires_at": made.expires_at})
    else:
        await record(connection, author, "token.create", made.name, after=_facts(made))


def _rejected(error: IntegrityError) -> StoreError:
    if "foreign key" in str(error.orig).lower():
        return NotFound("the superuser to whom it would belong was deleted meanwhile")
    return StoreError("the database rejects this token: it is there already, or outside its bounds")


async def _check_password(connection: AsyncConnection, owner: str | None, password_hash: str) -> None:
    """A password that was changed while it was verified no longer admits its user."""
    query = select(SUPERUSERS.c.password_hash).where(SUPERUSERS.c.id == owner)
    if (await connection.execute(query)).scalar_one_or_none() != password_hash:
        raise NotFound("the superuser was deleted, or has another password, meanwhile")


def _facts(token: Token) -> dict[str, object]:
    """What the audit trail keeps of a token: everything but the token."""
    return {
        "superuser": token.superuser,
        "scope": token.scope,
        "expires_at": token.expires_at,
        "maker": token.maker,
        "claims": dict(token.claims),
    }


def _token(row: RowMapping) -> Token:
    return Token(
        row["id"],
        row["name"],
        row["kind"],
        row["superuser"],
        row["owner"],
        moment(row["created"]),
        row["expires_at"],
        None if row["last_used"] is None else moment(row["last_used"]),
        row["claims"],
        row["scope"],
        row["maker"],
        row["client"],
    )
