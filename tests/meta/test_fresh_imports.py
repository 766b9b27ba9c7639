"""Every module imports alone; what serves traffic brings nothing of the control side, the supervisor nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from meta.sources import ROOT, Module, modules

DATA_PLANE = {"errors", "core", "wire", "policy", "observe", "upstream", "proxy"}
CONTROL_SIDE = {"aiosqlite", "alembic", "argon2", "click", "pydantic", "sqlalchemy", "watchfiles", "yaml"}

# One interpreter forks once a module: each child is as fresh as its parent, at a tenth of the price of a new process.
# It has imported what is slow and brings nothing of the project; for modules of the data plane that is aiohttp alone.
SCRIPT = """
import importlib, json, os, sys, traceback
names, heavy = json.loads(sys.argv[1]), set(json.loads(sys.argv[2]))
for slow in sys.argv[3:]:
    importlib.import_module(slow)
running = 0
for name in names:
    if running == os.cpu_count():
        os.wait()
        running -= 1
    if os.fork():
        running += 1
        continue
    try:
        importlib.import_module(name)
        error = ""
    except BaseException:
        error = traceback.format_exc()
    os.write(1, (json.dumps([name, error, sorted(heavy & sys.modules.keys())]) + "\\n").encode())
    os._exit(0)
while running:
    os.wait()
    running -= 1
"""

pytestmark = pytest.mark.timeout(180)  # a process for each module, on a machine that does other things too


def imports(names: list[str], *slow: str) -> dict[str, tuple[str, list[str]]]:
    """Module name -> (traceback or nothing, modules of the control side that it brought along)."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, json.dumps(names), json.dumps(sorted(CONTROL_SIDE)), *slow],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=170,
        check=True,
    )
    rows = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(rows) == len(names), run.stderr
    return {name: (error, heavy) for name, error, heavy in rows}


@pytest.fixture(scope="module")
def imported() -> dict[str, tuple[str, list[str]]]:
    all_of_them = [module for module in modules() if module.room != "__main__"]
    plane = [module.name for module in all_of_them if on_the_data_plane(module)]
    others = [module.name for module in all_of_them if not on_the_data_plane(module)]
    return imports(plane, "aiohttp") | imports(others, "aiohttp", *sorted(CONTROL_SIDE), "cryptography.x509")


def on_the_data_plane(module: Module) -> bool:
    return module.room in DATA_PLANE or module.name == "gateway.workers.worker"


def test_each_module_imports_alone(imported: dict[str, tuple[str, list[str]]]) -> None:
    failed = {name: error for name, (error, _) in imported.items() if error}
    assert not failed, "\n".join(f"{name}: {error}" for name, error in failed.items())


def test_the_data_plane_brings_nothing_of_the_control_side(imported: dict[str, tuple[str, list[str]]]) -> None:
    plane = [module.name for module in modules() if on_the_data_plane(module)]
    heavy = {name: imported[name][1] for name in plane if imported[name][1]}
    assert not heavy


def test_the_script_sees_heavy_imports() -> None:
    """`gateway.cli` does import click: the look into sys.modules works."""
    assert "click" in imports(["gateway.cli"])["gateway.cli"][1]


def brought_by(name: str) -> set[str]:
    """The modules that a process imports for module ``name``."""
    code = f"import sys; first = {{*sys.modules}}; import {name}; print(*{{*sys.modules}} - first)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    brought = set(run.stdout.split())
    assert name in brought
    return brought


def test_a_worker_brings_nothing_of_what_controls_it() -> None:
    """What breaks into a worker finds no code there that knows the database or the admin API."""
    rooms = {name.split(".")[1] for name in brought_by("gateway.workers.worker") if name.startswith("gateway.")}
    assert "proxy" in rooms
    assert not rooms & {"admin", "api", "cli", "control", "store"}


def test_the_supervisor_brings_nothing_of_others() -> None:
    """It lives as long as the gateway and does almost nothing: 15 MiB, where the control process takes 70."""
    brought = brought_by("gateway.workers.supervisor")
    assert {name.partition(".")[0] for name in brought} <= {*sys.stdlib_module_names, "gateway"}
    rooms = {name.split(".")[1] for name in brought if name.startswith("gateway.")}
    assert rooms <= {"config", "core", "launch", "observe", "page", "policy", "proxy", "workers"}
    sockets = {name for name in brought if name.startswith(("gateway.config.", "gateway.proxy."))}
    assert sockets == {"gateway.config.errors", "gateway.config.places", "gateway.proxy.bindings"}


def test_a_worker_without_issuers_brings_nothing_that_verifies_tokens() -> None:
    """It takes 10 MiB of memory, a part of it shared."""
    assert not {"joserfc", "cryptography"} & brought_by("gateway.workers.worker")


def test_the_control_process_brings_nothing_of_the_data_plane() -> None:
    """It knows its interface alone (`gateway.ipc`): the rest would take 6 MiB."""
    brought = brought_by("gateway.control.process")
    assert not {"uvloop", "pybreaker", "alembic"} & brought
    assert not {
        name for name in brought if name.startswith(("gateway.wire", "gateway.policy", "gateway.proxy", "gateway.app"))
    }
