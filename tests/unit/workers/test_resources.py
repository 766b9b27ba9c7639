"""A process reports what it uses, and no report waits while its memory is measured again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.workers import resources
from gateway.workers.resources import KEPT, Resources, proportional_memory
from tests.harness.patience import PATIENCE, when


class Reading:
    """Measures 1, 2, 3 and so on bytes, in a thread, when it is let."""

    def __init__(self) -> None:
        self.let = threading.Event()
        self.let.set()
        self.begun = 0
        self.threads: set[int] = set()

    def __call__(self) -> int:
        self.begun += 1
        self.threads.add(threading.get_ident())
        found = self.begun
        assert self.let.wait(30)
        return found


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Iterator[Reading]:
    monkeypatch.setattr(resources, "LATER", 0.0)
    made = Reading()
    yield made
    made.let.set()


async def test_the_first_report_waits_and_the_next_do_not(reading: Reading) -> None:
    now = 1000.0
    measured = Resources(lambda: now, reading)
    assert (await measured.report())["proportional_memory_bytes"] == 1
    reading.let.clear()
    for _ in range(100):  # while it is measured for the second time
        assert (await measured.report())["proportional_memory_bytes"] == 1
        await asyncio.sleep(0)
    reading.let.set()

    async def newer() -> bool:
        return (await measured.report())["proportional_memory_bytes"] > 1

    await when(newer, PATIENCE)
    assert threading.get_ident() not in reading.threads
    measured.close()


async def test_a_measurement_that_is_too_old_is_not_reported(reading: Reading) -> None:
    now = 1000.0
    measured = Resources(lambda: now, reading)
    await measured.report()
    measured.close()
    now += KEPT
    assert (await measured.report())["proportional_memory_bytes"] == 1
    measured.close()
    now += 0.1
    assert (await measured.report())["proportional_memory_bytes"] == 2
    measured.close()
    measured.close()
    assert reading.begun == 2


async def test_descriptors_are_those_of_now(tmp_path: Path) -> None:
    measured = Resources()
    before = (await measured.report())["open_fds"]
    with (tmp_path / "one").open("w"), (tmp_path / "two").open("w"):
        assert (await measured.report())["open_fds"] == before + 2
    measured.close()


def test_the_size_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = tmp_path / "smaps_rollup"
    rows.write_text("00400000-7fff00000000 ---p 00000000 00:00 0 [rollup]\nRss: 20 kB\nPss: 12 kB\nPss_Dirty: 3 kB\n")
    monkeypatch.setattr(resources, "_SMAPS", rows)
    assert proportional_memory() == 12 << 10
    rows.unlink()
    assert proportional_memory() == 0
