"""Every module imports alone; what serves traffic brings nothing of the control side, the supervisor nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from meta.sources import ROOT, Module, modules

DATA_PLANE = {"errors", "core", "wire", "policy", "observe", "upstream", "proxy"}
CONTROL_SIDE = {"aiosqlite", "alembic", "argon2", "click", "pydantic", "sqlalchemy", "watchfiles", "yaml"}

SCRIPT = """
import importlib, json, sys, traceback
failed = {}
for name in json.loads(sys.argv[1]):
    try:
        importlib.import_module(name)
    except BaseException:
        failed[name] = traceback.format_exc()
print(json.dumps([failed, sorted(sys.modules)]))
"""


def imports(names: list[str]) -> tuple[dict[str, str], set[str]]:
    """Import ``names`` in this order in a fresh interpreter: tracebacks of those that fail, and all modules then."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, json.dumps(names)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    failed, found = json.loads(run.stdout)
    return failed, set(found)


def on_the_data_plane(module: Module) -> bool:
    return module.room in DATA_PLANE or module.name == "gateway.workers.worker"


@pytest.mark.parametrize("backwards", [False, True])
def test_each_module_imports_whatever_was_imported_before(backwards: bool) -> None:
    """There is no circle of imports (`test_circles`), so one that imports in both orders imports alone."""
    names = sorted((module.name for module in modules() if module.room != "__main__"), reverse=backwards)
    failed, _ = imports(names)
    assert not failed, "\n".join(f"{name}: {error}" for name, error in failed.items())


def test_the_data_plane_brings_nothing_of_the_control_side() -> None:
    failed, found = imports([module.name for module in modules() if on_the_data_plane(module)])
    assert not failed
    assert not found & CONTROL_SIDE


def test_the_script_sees_heavy_imports() -> None:
    """`gateway.cli` does import click: the look into sys.modules works."""
    failed, found = imports(["gateway.cli", "gateway.no_such_module"])
    assert "click" in found
    assert failed.keys() == {"gateway.no_such_module"}


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
