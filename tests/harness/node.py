"""Grafana's own types, and the compiler that holds JSON against them: from npm, in the cache."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from harness import toolbox

SOURCE = Path(__file__).resolve().parents[1] / "grafana/schema"


def modules() -> Path:
    """The folder with the packages; skips the test where there is no npm."""
    lock = (SOURCE / "package-lock.json").read_bytes()
    return toolbox.cached(f"schema-{hashlib.sha256(lock).hexdigest()[:12]}", _install) / "node_modules"


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


def _install(folder: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(SOURCE / name, folder)
    toolbox.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"], folder)
