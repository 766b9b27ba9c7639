"""File and database reach the worker; what is refused changes nothing."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from unit.control.scene import ANN, DIGEST, line, scene

from gateway.config import single
from gateway.control.report import DATABASE_CHANGE
from gateway.store.errors import StoreUnavailable

PROXY = single.stored({"name": "stored", "path": "/stored", "upstream": "http://h"})


async def test_file_and_database_reach_the_worker(tmp_path: Path) -> None:
    async with scene(tmp_path, line("filed")) as now:
        await now.sync.start(cold=False)
        assert (now.worker.names, now.sync.served) == (["filed"], 1)
        await now.store.proxies.create(PROXY, ANN)
        await now.store.tokens.create("ci", DIGEST, "token", False, None, 0.0, {}, ANN)
        assert await now.sync.apply_current(DATABASE_CHANGE)
        assert (now.worker.names, now.sync.served) == (["filed", "stored"], 2)
        assert list(now.worker.credentials.tokens) == [DIGEST]
        assert now.sync.revision == await now.store.revision()


async def test_a_cold_start_serves_the_file_and_the_database_is_read_later(tmp_path: Path) -> None:
    async with scene(tmp_path, line("filed")) as now:
        await now.store.proxies.create(PROXY, ANN)
        await now.sync.start(cold=True)
        assert now.worker.names == ["filed"]
        assert now.sync.revision != await now.store.revision()
        await now.sync.apply_current(DATABASE_CHANGE)
        assert now.worker.names == ["filed", "stored"]


async def test_an_invalid_file_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with scene(tmp_path, line("a")) as now:
        await now.sync.start(cold=False)
        now.write("{name: b}")
        await now.sync.reload("file change")
        assert now.worker.names == ["a"]
        assert "upstream" in now.report.error
        assert "file change rejected" in caplog.text
        now.write(line("b"))
        await now.sync.reload("file change")
        assert (now.worker.names, now.report.error) == (["b"], "")


async def test_what_the_worker_refuses_is_tried_again_only_when_it_changes(tmp_path: Path) -> None:
    async with scene(tmp_path, line("a")) as now:
        await now.sync.start(cold=False)
        now.worker.refused = "b"
        before = now.declared.settings
        now.write(line("b"))
        await now.sync.reload("file change")
        assert now.worker.names == ["a"]
        assert now.declared.settings is before
        assert "the address is taken" in now.report.error
        now.worker.refused = ""
        await now.sync.reload("SIGHUP")
        assert (now.worker.names, now.report.error) == (["b"], "")


async def test_a_signal_that_finds_nothing_new_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway")
    async with scene(tmp_path, line("a")) as now:
        await now.sync.start(cold=False)
        await now.sync.reload("file change")
        assert "nothing has changed" not in caplog.text
        await now.sync.reload("SIGHUP")
        assert "configuration 1 stays active (SIGHUP, nothing has changed)" in caplog.messages


async def test_without_the_database_the_file_is_applied_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, line("a")) as now:
        await now.sync.start(cold=False)

        async def away() -> int:
            raise StoreUnavailable("the disk is gone")

        with monkeypatch.context() as patch:
            patch.setattr(now.store, "revision", away)
            now.write(line("b"))
            await now.sync.reload("file change")
            assert (now.worker.names, now.report.error) == (["b"], "")
            assert now.sync.revision != 0  # so that it is read as soon as it is back
            await now.sync.apply_current(DATABASE_CHANGE)
            assert now.report.error == "the disk is gone"
        await now.sync.apply_current(DATABASE_CHANGE)
        assert now.sync.revision == await now.store.revision()


async def test_what_needs_new_processes_is_followed_when_it_is_applied(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with scene(tmp_path, line("a")) as now:
        await now.sync.start(cold=False)
        now.worker.refused = "b"
        now.write(line("b"), more="workers: 2\nvia: edge-1")
        await now.sync.reload("file change")
        assert (now.restarts, "workers: 1 serve" in caplog.text) == (0, False)
        now.worker.refused = ""
        await now.sync.reload("SIGHUP")
        assert (now.restarts, "workers: 1 serve until the gateway itself" in caplog.text) == (1, True)
