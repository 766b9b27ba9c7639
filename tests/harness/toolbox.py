"""Tools that are no Python packages: kept in a cache of the user, fetched once; tests that need one may be skipped."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import pytest


def unavailable(reason: str) -> NoReturn:
    """Skip the test with this reason; under CI it fails, since there nothing may be skipped."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def cached(name: str, fill: Callable[[Path], None]) -> Path:
    """The folder ``name`` of the cache, which ``fill`` fills unless that was done before."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    cache = Path(home, "breakwater-gateway")
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / name
    with (cache / f"{name}.lock").open("w") as lock:  # test processes may run side by side
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            fresh = cache / f"{name}.new"
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir()
            fill(fresh)
            fresh.rename(folder)  # as the last step, so that half a folder is never taken for a whole one
    return folder


def run(command: Sequence[str | Path], folder: Path) -> str:
    """Run it in ``folder``; what it printed. `unavailable` when it is not there or fails."""
    if shutil.which(command[0]) is None:
        unavailable(f"{command[0]} is not installed here")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=150, stdin=subprocess.DEVNULL)
    if done.returncode:
        unavailable(f"{' '.join(map(str, command))} failed: {done.stderr.strip()[-300:]}")
    return done.stdout
