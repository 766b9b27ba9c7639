"""A gateway that starts while its database is away serves the proxies of its file at once, and the rest follows."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from harness.answers import ok
from harness.deployment import Deployment
from harness.upstream import Upstream

pytestmark = pytest.mark.timeout(120)


async def until(gateway: Deployment, path: str, status: int, within: float = 20) -> None:
    end = time.monotonic() + within
    while (await gateway.get(path))[0] != status:
        assert time.monotonic() < end, gateway.log.read_text()
        await asyncio.sleep(0.02)


def filed(upstream: Upstream, name: str = "filed") -> str:
    return f'[{{name: {name}, path: /{name}, upstream: "{upstream.url}", access_rule: "true"}}]'


async def test_a_locked_database(tmp_path: Path, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    async with Deployment(tmp_path, proxies=filed(upstream)) as gateway:
        await gateway.call(
            "POST", "/proxies", {"name": "stored", "path": "/stored", "upstream": upstream.url, "access_rule": "true"}
        )
        gateway.signal(15)
        assert await gateway.ended() == 0
        with closing(sqlite3.connect(tmp_path / "gateway.db", isolation_level=None)) as other:
            # Nobody may read or write: as a backup program does it, or a second gateway that upgrades.
            other.execute("PRAGMA locking_mode = EXCLUSIVE")
            other.execute("BEGIN EXCLUSIVE")
            other.execute("UPDATE revision SET value = value")
            greetings = gateway.greetings
            await gateway.start()
            await gateway.greeted(greetings + 1)
            assert "the database is away" in gateway.log.read_text()
            assert await gateway.get("/filed") == (200, "")
            assert await gateway.get("/stored") == (404, "no_route")
            async with gateway.session.get(f"{gateway.admin}/api/gateway/readyz") as answer:
                assert answer.status == 200
            bearer = {"Authorization": f"Bearer {gateway.token}"}
            async with gateway.session.get(f"{gateway.admin}/api/gateway/proxies", headers=bearer) as answer:
                assert (answer.status, (await answer.json())["code"]) == (503, "unavailable")
            # A change of the file comes in force meanwhile.
            gateway.write(filed(upstream, "changed"))
            await until(gateway, "/changed", 200)
        await until(gateway, "/stored", 200)
        assert await gateway.get("/changed") == (200, "")
        await gateway.call("GET", "/proxies")
        gateway.signal(15)
        assert await gateway.ended() == 0


async def test_a_database_that_nobody_listens_for(tmp_path: Path, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    gateway = Deployment(tmp_path, proxies=filed(upstream), database="postgresql://u@127.0.0.1:1/x")
    gateway._prepare = lambda: asyncio.sleep(0)  # type: ignore[method-assign,assignment]
    async with gateway:
        assert await gateway.get("/filed") == (200, "")
        gateway.signal(15)
        assert await gateway.ended() == 0


async def test_a_database_that_can_be_used_by_nobody_still_ends_the_start(tmp_path: Path) -> None:
    """What no waiting helps against is said at once, with an exit code."""
    gateway = Deployment(tmp_path)
    with closing(sqlite3.connect(tmp_path / "gateway.db")) as other:
        other.execute("CREATE TABLE alembic_version (version_num TEXT)")
        other.execute("INSERT INTO alembic_version VALUES ('9999')")
        other.commit()
    refused = await asyncio.to_thread(gateway.cli, "run")
    assert (refused.returncode, "9999" in refused.stderr) == (1, True)
    assert "Traceback" not in refused.stderr
