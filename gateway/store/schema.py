"""The database's schema: which revision it has, and the way to another one.

An upgrade is one transaction on both databases: a process that dies half way leaves the old schema intact, and of two
that upgrade at once one waits and then finds nothing to do. Alembic is imported only when something has to change.
"""

from __future__ import annotations

import asyncio
import os
import pathlib
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from gateway.store.database import Database, file_of, is_embedded
from gateway.store.errors import SchemaBehind, SchemaNewer, StoreError, StoreUnavailable, WrongRevision
from gateway.store.tables import HEAD

_MOVE_SECONDS: Final = 600.0
"""How long a revision may take, and others wait for it: it visits all rows, and two must not run it at once."""


@dataclass(frozen=True, slots=True)
class Status:
    """``current`` None: no schema yet. ``pending``: what an upgrade would run, oldest first."""

    current: str | None
    head: str
    pending: tuple[str, ...]


def migrations_path() -> pathlib.Path:
    """Where the revisions are: beside the package in a checkout, inside of it when it was installed from a wheel."""
    package = pathlib.Path(__file__).parents[1]
    inside = package / "migrations"
    return inside if inside.is_dir() else package.parent / "migrations"


def revisions() -> tuple[str, ...]:
    """All revisions, oldest first."""
    return tuple(sorted(path.name[:4] for path in (migrations_path() / "versions").glob("[0-9]*.py")))


async def status(url: str) -> Status:
    """Raises `StoreUnavailable`."""
    database = Database(url)
    try:
        current = await revision_of(database)
    finally:
        await database.aclose()
    return Status(current, HEAD, tuple(r for r in revisions() if current is None or r > current))


async def revision_of(database: Database) -> str | None:
    """None: no schema yet. Raises `StoreUnavailable`."""
    if is_embedded(database.url) and await asyncio.to_thread(_is_missing, file_of(database.url)):
        return None  # to connect would create the file, readable by everyone
    async with database.reading() as connection:
        return await connection.run_sync(_revision)


def _is_missing(path: pathlib.Path) -> bool:
    return path.parent.is_dir() and not path.exists()


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def check(current: str | None) -> None:
    """Raises `SchemaBehind` or `SchemaNewer` unless this code works with revision ``current``."""
    if current is None or current < HEAD:
        what = "empty" if current is None else f"at revision {current}"
        raise SchemaBehind(f"the database is {what}, this gateway needs {HEAD}; run: gateway db upgrade")
    if current > HEAD:
        raise SchemaNewer(
            f"the database is at revision {current}, this gateway knows {HEAD} at most; use the newer gateway, or "
            "downgrade the database with it first"
        )


async def upgrade(url: str, to: str = "head") -> Status:
    """Upgrade to revision ``to``; a SQLite file that is not empty is backed up first.

    Raises `WrongRevision`, `SchemaNewer`, `StoreUnavailable`, or `StoreError` when a revision failed: nothing has
    changed then.
    """
    _check_known(to, "head")
    if is_embedded(url):
        await asyncio.to_thread(_make_private, file_of(url))
    before = await status(url)
    if before.current is not None and before.current > HEAD:
        check(before.current)
    if to != "head" and before.current is not None and to < before.current:
        raise WrongRevision(f"the database is at {before.current}; run gateway db downgrade {to} to go back")
    if to == before.current or not before.pending:
        return before
    if before.current is not None and before.pending and is_embedded(url):
        await backup(url)
    return await _move(url, _upgrade, to)


async def downgrade(url: str, to: str) -> Status:
    """Downgrade to revision ``to`` ("base": none); a SQLite file is backed up first. Raises as `upgrade`."""
    _check_known(to, "base")
    before = await status(url)
    if before.current is not None and before.current > HEAD:
        check(before.current)
    if to != "base" and to > (before.current or ""):
        raise WrongRevision(f"the database is at {before.current or 'no revision'}; run gateway db upgrade --to {to}")
    if before.current is None or to == before.current:
        return before
    if is_embedded(url):
        await backup(url)
    return await _move(url, _downgrade, to)


def _check_known(to: str, word: str) -> None:
    """Raises `WrongRevision` for what is neither a revision nor ``word``."""
    known = revisions()
    if to != word and to not in known:
        raise WrongRevision(f"there is no revision {to}; write {word}, or one of {known[0]} to {known[-1]}")


async def backup(url: str, target: pathlib.Path | None = None) -> pathlib.Path:
    """A copy of a SQLite database, for its owner alone, beside it unless ``target`` says where. Raises `StoreError`."""
    if not is_embedded(url):
        raise StoreError("a PostgreSQL database is backed up by its own tools; run pg_dump")
    source = file_of(url)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    target = target or source.with_name(f"{source.name}.{stamp}.backup")
    await asyncio.to_thread(_copy, source, target)
    return target


def _make_private(path: pathlib.Path) -> None:
    """A new database is for its owner alone: it holds hashes of passwords and tokens."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise StoreUnavailable(f"the database {path} cannot be made: {error.strerror}") from None


def _copy(source: pathlib.Path, target: pathlib.Path) -> None:
    if not source.is_file():
        raise StoreError(f"there is no database {source} to back up")
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise StoreError(f"the backup {target} cannot be made: {error.strerror}") from None
    try:
        with closing(sqlite3.connect(source)) as from_, closing(sqlite3.connect(target)) as to:
            from_.backup(to)
    except sqlite3.Error as error:
        target.unlink(missing_ok=True)
        raise StoreError(f"the backup {target} failed: {error}") from None


async def _move(url: str, move: Callable[[Connection, str], None], to: str) -> Status:
    database = Database(url, _MOVE_SECONDS)
    try:
        async with database.writing() as connection:
            await connection.run_sync(move, to)
    except IntegrityError:
        raise StoreError(
            f"the schema cannot be moved to {to}: rows in the database break a rule of a revision; nothing has changed"
        ) from None
    except ValueError as error:  # of a revision, which says what does not fit
        raise StoreError(f"the schema cannot be moved to {to}: {error}; nothing has changed") from None
    finally:
        await database.aclose()
    return await status(url)


def _upgrade(connection: Connection, to: str) -> None:
    from alembic import command

    _run(command.upgrade, connection, to)


def _downgrade(connection: Connection, to: str) -> None:
    from alembic import command

    _run(command.downgrade, connection, to)


def _run(command: Callable[..., None], connection: Connection, to: str) -> None:
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(migrations_path()).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command(config, to)
    except CommandError as error:
        raise StoreError(f"the schema cannot be moved to {to}: {error}") from None
