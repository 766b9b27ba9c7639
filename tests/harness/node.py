"""Packages of npm, in the cache: Grafana's own types with the compiler that holds JSON against them, and others."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from functools import partial
from pathlib import Path

from harness import toolbox

SOURCE = Path(__file__).resolve().parents[1] / "grafana/schema"


def packages(name: str, source: Path) -> Path:
    """The folder of the packages that the lock in ``source`` names; skips the test where there is no npm."""
    lock = (source / "package-lock.json").read_bytes()
    folder = f"{name}-{hashlib.sha256(lock).hexdigest()[:12]}"
    return toolbox.cached(folder, partial(_install, source)) / "node_modules"


def modules() -> Path:
    """The folder with the packages of the dashboards."""
    return packages("schema", SOURCE)


def compiled(folder: Path, **sources: str) -> str:
    """What the TypeScript compiler has to say about ``sources`` (name of the file -> text); "" when they are right.

    ``folder`` is an empty one to do it in.
    """
    (folder / "node_modules").symlink_to(modules())
    for path in (*SOURCE.glob("*.ts"), SOURCE / "tsconfig.json"):
        shutil.copy(path, folder)
    for name, text in sources.items():
        (folder / f"{name}.ts").write_text(text)
    command = ["node", str(modules() / "typescript/bin/tsc"), "--project", str(folder)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=150).stdout


def _install(source: Path, folder: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(source / name, folder)
    toolbox.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"], folder)
