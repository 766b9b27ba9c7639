"""Changes reach the worker by themselves, and what happens there reaches the database."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from harness.patience import eventually
from unit.control.scene import ANN, DIGEST, Scene, line, scene, until

from gateway.config import single
from gateway.control import followers
from gateway.control.followers import Followers
from gateway.core.tasks import Tasks
from gateway.store.errors import StoreUnavailable

PROXY = single.stored({"name": "stored", "path": "/stored", "upstream": "http://h"})


@asynccontextmanager
async def following(folder: Path, *proxies: str) -> AsyncIterator[Scene]:
    async with scene(folder, *proxies) as now:
        await now.sync.start(cold=False)
        tasks = Tasks()
        Followers(now.declared, now.store, now.plane, now.sync, now.issuers, now.memory, now.broker).start(
            tasks, away=False
        )
        try:
            yield now
        finally:
            await tasks.aclose()


async def test_a_change_of_the_file(tmp_path: Path) -> None:
    async with following(tmp_path, line("a")) as now:
        now.write(line("b"))
        await eventually(lambda: now.worker.names == ["b"], "the file to be applied", 20)


async def test_a_change_of_the_database(tmp_path: Path) -> None:
    async with following(tmp_path) as now:
        await now.store.proxies.create(PROXY, ANN)
        await eventually(lambda: now.worker.names == ["stored"], "the database to be applied", 20)


async def test_a_database_that_was_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "gateway")

    async def away() -> int:
        raise StoreUnavailable("the disk is gone")

    async with following(tmp_path) as now:
        with monkeypatch.context() as patch:
            patch.setattr(now.store, "revision", away)
            await eventually(lambda: "stays applied: the disk is gone" in caplog.text, "the loss to be logged", 20)
        await eventually(lambda: "the database is back" in caplog.messages, "the return to be logged", 20)
        await now.store.proxies.create(PROXY, ANN)
        await eventually(lambda: now.worker.names == ["stored"], "the database to be applied", 20)


async def test_the_use_of_tokens_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followers, "_TOUCH_SECONDS", 0.05)
    async with following(tmp_path) as now:
        made = await now.store.tokens.create("ci", DIGEST, "token", False, None, 0.0, {}, ANN)
        assert made.last_used is None
        now.worker.used = {DIGEST: time.time()}
        await eventually(lambda: not now.worker.used, "the use to be taken", 20)

        async def noted() -> bool:
            return (await now.store.tokens.all())[DIGEST].last_used is not None

        await until(noted)


async def test_expired_tokens_are_deleted(tmp_path: Path) -> None:
    async with scene(tmp_path) as now:
        await now.store.tokens.create("old", DIGEST, "token", False, None, time.time() - 1, {}, ANN)
        await now.sync.start(cold=False)
        tasks = Tasks()
        Followers(now.declared, now.store, now.plane, now.sync, now.issuers, now.memory, now.broker).start(
            tasks, away=False
        )

        async def gone() -> bool:
            return not await now.store.tokens.all()

        await until(gone)
        await tasks.aclose()
