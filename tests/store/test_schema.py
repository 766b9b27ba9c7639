"""Migrations: up, down and up again, by several at once, and killed half way."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from gateway.config import single
from gateway.store import schema, tables
from gateway.store.database import Database
from gateway.store.errors import SchemaBehind, SchemaNewer, StoreError, StoreUnavailable, WrongRevision
from gateway.store.keys import KeyRing
from gateway.store.store import Store

PROXY = single.stored({"name": "a", "path": "/a", "upstream": "http://h", "max_concurrent": 5})
KEYS = KeyRing.of("22" * 32)


async def columns(url: str) -> dict[str, set[str]]:
    database = Database(url)
    try:
        async with database.reading() as connection:
            return await connection.run_sync(
                lambda c: {t: {col["name"] for col in inspect(c).get_columns(t)} for t in inspect(c).get_table_names()}
            )
    finally:
        await database.aclose()


async def test_the_migrations_make_the_tables_of_the_code(url: str) -> None:
    assert (await schema.upgrade(url)).current == tables.HEAD == schema.revisions()[-1]
    made = await columns(url)
    made.pop("alembic_version")
    assert made == {name: set(table.columns.keys()) for name, table in tables.METADATA.tables.items()}


@pytest.mark.covers("T031")
async def test_up_down_and_up_again_keeps_the_rows(url: str) -> None:
    await schema.upgrade(url)
    store = await Store.open(url, KEYS)
    made = await store.proxies.create(PROXY, "t")
    await store.aclose()
    status = await schema.downgrade(url, "0001")
    assert (status.current, status.pending) == ("0001", schema.revisions()[1:])
    assert not {"max_concurrent", "circuit_breaker", "timeout_config"} & (await columns(url))["proxies"]
    with pytest.raises(SchemaBehind, match="gateway db upgrade"):
        await Store.open(url, KEYS)
    assert (await schema.upgrade(url)).pending == ()
    store = await Store.open(url, KEYS)
    back = await store.proxies.get("a")
    await store.aclose()
    assert back is not None
    assert back.id == made.id
    assert back.value == single.stored({"name": "a", "path": "/a", "upstream": "http://h"})
    assert (await schema.downgrade(url, "base")).current is None
    assert (await schema.upgrade(url)).current == tables.HEAD


@pytest.mark.covers("T031")
async def test_the_hardening_migration_adds_only_what_is_missing(url: str) -> None:
    await schema.upgrade(url, "0001")
    database = Database(url)
    async with database.writing() as connection:
        await connection.execute(text("ALTER TABLE proxies ADD COLUMN max_concurrent INTEGER"))
    await database.aclose()
    assert (await schema.upgrade(url)).current == tables.HEAD


async def test_a_newer_database_is_left_alone(url: str) -> None:
    await schema.upgrade(url)
    database = Database(url)
    async with database.writing() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await database.aclose()
    for attempt in (schema.upgrade(url), schema.downgrade(url, "0001"), Store.open(url, KEYS)):
        with pytest.raises(SchemaNewer, match="at revision 9999"):
            await attempt


async def test_an_unknown_revision_is_refused(url: str) -> None:
    for move in (schema.upgrade, schema.downgrade):
        for unknown in ("0042", "000", "heads", "+1", "0001:0003", ""):
            with pytest.raises(WrongRevision, match="there is no revision"):
                await move(url, unknown)
    assert (await schema.status(url)).current is None


async def test_a_revision_in_the_other_direction_is_refused_and_makes_no_backup(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/g.db"
    with pytest.raises(WrongRevision, match="at no revision; run gateway db upgrade --to 0003"):
        await schema.downgrade(url, "0003")
    assert list(tmp_path.iterdir()) == []
    await schema.upgrade(url, "0003")
    with pytest.raises(WrongRevision, match="at 0003; run gateway db downgrade 0002"):
        await schema.upgrade(url, "0002")
    with pytest.raises(WrongRevision, match="at 0003; run gateway db upgrade --to 0004"):
        await schema.downgrade(url, "0004")
    for move in (schema.upgrade, schema.downgrade):
        assert (await move(url, "0003")).current == "0003"
    assert [path.name for path in tmp_path.iterdir() if "backup" in path.name] == []


SLOW = f"""
import time
from alembic import op
revision = "9999"
down_revision = "{tables.HEAD}"
def upgrade():
    op.execute("CREATE TABLE half (id INTEGER)")
    print("half way", flush=True)
    time.sleep(60)
"""
CHILD = """
import asyncio, pathlib, sys
from gateway.store import schema
schema.migrations_path = lambda: pathlib.Path(sys.argv[2])
schema.HEAD = sys.argv[3]
Database = schema.Database
schema.Database = lambda url, patience=1.0: Database(url, patience)  # so that a test of patience need not last long
asyncio.run(schema.upgrade(sys.argv[1]))
"""


def child(url: str, folder: Path, head: str = tables.HEAD) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, url, str(folder), head]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


async def test_a_migration_that_is_killed_half_way_leaves_the_old_schema_whole(url: str, tmp_path: Path) -> None:
    await schema.upgrade(url)
    before = await columns(url)
    folder = tmp_path / "migrations"
    shutil.copytree(schema.migrations_path(), folder)
    (folder / "versions" / "9999_slow.py").write_text(SLOW)
    process = child(url, folder, "9999")
    assert process.stdout is not None
    assert process.stderr is not None
    said = await asyncio.to_thread(process.stdout.readline)
    assert said == "half way\n", process.stderr.read()
    process.send_signal(signal.SIGKILL)
    await asyncio.to_thread(process.wait)
    process.stdout.close()
    process.stderr.close()
    assert await columns(url) == before
    assert (await schema.status(url)).current == tables.HEAD
    store = await Store.open(url, KEYS)
    await store.proxies.create(PROXY, "t")
    await store.aclose()


WAITING = f"""
import time
from alembic import op
revision = "9999"
down_revision = "{tables.HEAD}"
def upgrade():
    print("half way", flush=True)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SELECT pg_sleep(2.5)")
    else:
        time.sleep(2.5)
    op.execute("CREATE TABLE whole (id INTEGER)")
"""


async def test_a_revision_may_take_longer_than_any_other_statement_and_others_wait_for_it(
    url: str, tmp_path: Path
) -> None:
    await schema.upgrade(url)
    folder = tmp_path / "migrations"
    shutil.copytree(schema.migrations_path(), folder)
    (folder / "versions" / "9999_waiting.py").write_text(WAITING)
    children = [child(url, folder, "9999") for _ in range(2)]
    ends = await asyncio.gather(*(asyncio.to_thread(process.communicate) for process in children))
    assert [(process.returncode, errors) for process, (_, errors) in zip(children, ends, strict=True)] == [(0, "")] * 2
    assert sorted(said for said, _ in ends) == ["", "half way\n"], "both ran it"
    assert "whole" in await columns(url)


BREAKING = f"""
from alembic import op
revision = "9999"
down_revision = "{tables.HEAD}"
def upgrade():
    op.execute("CREATE TABLE half (id INTEGER PRIMARY KEY)")
    op.execute("INSERT INTO half VALUES (1)")
    op.execute("INSERT INTO half VALUES (1)")
"""


async def test_a_revision_that_the_rows_do_not_fit_changes_nothing(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await schema.upgrade(url)
    before = await columns(url)
    folder = tmp_path / "migrations"
    shutil.copytree(schema.migrations_path(), folder)
    (folder / "versions" / "9999_breaking.py").write_text(BREAKING)
    monkeypatch.setattr(schema, "migrations_path", lambda: folder)
    monkeypatch.setattr(schema, "HEAD", "9999")
    with pytest.raises(StoreError, match="nothing has changed"):
        await schema.upgrade(url)
    assert await columns(url) == before
    assert (await schema.status(url)).current == tables.HEAD


async def test_of_several_that_upgrade_at_once_one_runs_and_the_others_wait(url: str) -> None:
    children = [child(url, schema.migrations_path()) for _ in range(3)]
    ends = await asyncio.gather(*(asyncio.to_thread(process.communicate) for process in children))
    assert [(process.returncode, errors) for process, (_, errors) in zip(children, ends, strict=True)] == [(0, "")] * 3
    assert (await schema.status(url)).current == tables.HEAD


async def test_a_backup_is_made_before_each_upgrade_and_can_be_opened(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/gateway.db"
    await schema.upgrade(url, "0001")
    assert list(tmp_path.glob("*.backup")) == []
    await schema.upgrade(url)
    (copy,) = tmp_path.glob("*.backup")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert (await schema.status(f"sqlite:///{copy}")).current == "0001"


async def test_a_new_database_is_for_its_owner_alone(tmp_path: Path) -> None:
    await schema.upgrade(f"sqlite:///{tmp_path}/gateway.db")
    assert stat.S_IMODE((tmp_path / "gateway.db").stat().st_mode) == 0o600


async def test_to_ask_for_a_database_does_not_make_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/gateway.db"
    assert (await schema.status(url)).current is None
    with pytest.raises(SchemaBehind, match="is empty"):
        await Store.open(url, KEYS)
    assert list(tmp_path.iterdir()) == []


async def test_backups_that_can_not_be(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="pg_dump"):
        await schema.backup("postgresql://h/x")
    with pytest.raises(StoreError, match="there is no database"):
        await schema.backup(f"sqlite:///{tmp_path}/none.db")
    (tmp_path / "there").write_text("x")
    sqlite3.connect(tmp_path / "a.db").close()
    with pytest.raises(StoreError, match="File exists"):
        await schema.backup(f"sqlite:///{tmp_path}/a.db", tmp_path / "there")
    assert (tmp_path / "there").read_text() == "x"


async def test_a_database_that_is_not_there_or_is_none(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        await schema.status("postgresql://u:s3cret@127.0.0.1:1/x")
    with pytest.raises(StoreUnavailable):
        await schema.upgrade(f"sqlite:///{tmp_path}/no/such/folder.db")
    (tmp_path / "text.db").write_text("this is no database, whatever its name says")
    with pytest.raises(StoreUnavailable, match="does not respond as it should"):
        await schema.status(f"sqlite:///{tmp_path}/text.db")
