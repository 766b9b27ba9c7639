"""How the worker processes are shown to people."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli.workers import status, text
from gateway.control.status_socket import StatusSocket


def process(**changes: object) -> dict[str, object]:
    return {
        "worker": 0,
        "pid": 17,
        "state": "serving",
        "since": 1000.0,
        "starts": 1,
        "crash_loop": False,
        "recycled": 0,
        "memory_bound_too_small": False,
        "version": "1.2",
        "generation": 3,
        "requests": 5,
        "connections": 2,
        "in_flight": 1,
        "memory_bytes": 41 << 20,
        "resident_bytes": 52 << 20,
        "fresh_bytes": 45 << 20,
        "loop_lag": 0.0015,
        **changes,
    }


def listed(*items: dict[str, object], bound: int = 0) -> dict[str, object]:
    return {"items": list(items), "max_memory_bytes": bound}


def test_a_bound_of_the_memory_has_a_line_of_its_own() -> None:
    small = process(worker=1, recycled=2, memory_bound_too_small=True)
    shown = text(listed(process(state="draining"), process(fresh_bytes=0), small, bound=48 << 20), 1042.0)
    assert shown.splitlines()[-1] == (
        "worker_max_memory is 48 MiB (RSS); worker 0 has 52 MiB, fresh -, replaced 0 times; worker 1 has 52 MiB, fresh "
        "45 MiB, replaced 2 times, and no more: a fresh one is above the bound"
    )


def test_each_process_has_a_line() -> None:
    silent = process(worker=1, pid=18, state="silent", version="", memory_bytes=0, loop_lag=0.0, crash_loop=True)
    heads, first, second = text(listed(process(), silent), 1042.0).splitlines()
    assert heads.split("  ")[0] == "WORKER"
    assert first.split() == ["0", "17", "serving", "42", "s", "1.2", "3", "5", "1", "41", "MiB", "1.5", "ms"]
    assert second.split() == ["1", "18", "silent,", "crash", "loop", "42", "s", "-", "3", "5", "1", "-", "0.0", "ms"]


def test_a_process_that_sheds_load_says_how_much_it_refuses() -> None:
    _, shown, older = text(listed(process(shedding=0.25), process()), 1042.0).splitlines()
    assert "serving, refuses 25%" in shown
    assert "refuses" not in older


@pytest.mark.parametrize(
    ("seconds", "age"), [(-1, "0 s"), (59, "59 s"), (90, "1.5 min"), (5400, "1.5 h"), (129600, "1.5 d")]
)
def test_an_age_is_shown_in_the_largest_unit(seconds: float, age: str) -> None:
    assert f"  {age}  " in text(listed(process()), 1000.0 + seconds).splitlines()[1]


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are of Linux")
async def test_a_gateway_on_this_machine_needs_no_token(tmp_path: Path) -> None:
    async def read() -> Mapping[str, object]:
        return listed(process())

    def shown(*arguments: str) -> tuple[int, str]:
        result = CliRunner(env={"GATEWAY_CONFIG": None, "GATEWAY_SERVER": None}).invoke(status, arguments)
        return result.exit_code, result.output

    config = str(tmp_path / "gateway.yaml")
    code, output = await asyncio.to_thread(shown, "--config", config)
    assert (code, "no gateway with the configuration" in output) == (1, True)
    socket = StatusSocket(Path(config), read)
    await socket.start()
    try:
        code, output = await asyncio.to_thread(shown, "--config", config)
        assert (code, output.splitlines()[1].split()[:3]) == (0, ["0", "17", "serving"])
        code, output = await asyncio.to_thread(shown, "--database", "sqlite:///other.db")
        assert (code, "--config FILE, or --server URL" in output) == (2, True)
    finally:
        await socket.aclose()
