"""Each module with code has its test file at the same place under tests/unit/."""

from __future__ import annotations

from pathlib import PurePosixPath

from meta.sources import ROOT, modules

COVERED_ELSEWHERE: dict[str, str] = {
    "control/process.py": "tests/e2e/test_control_plane.py: a process with signals, a database and a worker",
    "demo/run.py": "tests/e2e/test_demo.py: a process with signals and a terminal",
    "proxy/pipeline.py": "tests/faults: the order of the layers shows in what a client is told",
    "proxy/reply.py": "tests/unit/proxy/test_send.py: what an attempt gives its stream",
    "proxy/layers/server_timing.py": "tests/e2e/test_phases.py: what a client is told, beside the log and the metric",
    "workers/worker.py": "tests/e2e/test_control_plane.py: a process that is told what to do",
}
"""Modules without a unit test of their own, each with the reason and the place where it is tested. It should shrink."""


ROOMS_ELSEWHERE: dict[str, str] = {
    "admin": "tests/admin: on real sockets and a real database",
    "api": "tests/admin: over HTTP, on real sockets",
    "cli": "tests/admin/test_command_line.py: each command, on the database here and over the API",
    "store": "tests/store: on SQLite and on PostgreSQL",
}
"""Rooms whose tests are grouped by what they do for their user; a unit test of a module there is welcome."""


def unit_test_of(file: str) -> str:
    """`policy/limiter.py` -> `tests/unit/policy/test_limiter.py`; a package's own code -> `test_init.py`."""
    path = PurePosixPath(file)
    stem = path.stem.strip("_") if path.stem.startswith("__") else path.stem
    return str(PurePosixPath("tests/unit", path.parent, f"test_{stem}.py"))


def test_each_module_has_its_test_file() -> None:
    with_code = {module.file for module in modules() if module.has_code and module.room not in ROOMS_ELSEWHERE}
    missing = {file for file in with_code if not (ROOT / unit_test_of(file)).is_file()} - COVERED_ELSEWHERE.keys()
    assert not missing, f"write {sorted(unit_test_of(file) for file in missing)}"


def test_each_unit_test_file_has_its_module() -> None:
    mirrored = {unit_test_of(module.file) for module in modules()}
    found = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests/unit").rglob("test_*.py")}
    assert not found - mirrored, "a unit test whose module has gone, or which belongs into another folder"


def test_the_list_of_exceptions_is_no_longer_than_it_must_be() -> None:
    stale = {f for f in COVERED_ELSEWHERE if (ROOT / unit_test_of(f)).is_file() or not (ROOT / "gateway" / f).is_file()}
    assert not stale, "take these out of COVERED_ELSEWHERE"
