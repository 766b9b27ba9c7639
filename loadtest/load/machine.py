"""What a report says of the place where it was made: enough to compare, nothing that names the host."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def facts() -> dict[str, str]:
    packages = ", ".join(f"{name} {version(name)}" for name in ("aiohttp", "uvloop", "locust", "gevent"))
    return {
        "Processor": f"{processor()}, {os.cpu_count()} cores",
        "System": f"{platform.system()} {platform.release()}",
        "Commit": commit(),
        "Versions": f"Python {platform.python_version()}, {packages}",
        "Load before the start": f"{os.getloadavg()[0]:.2f} runnable processes on average over a minute",
    }


def processor() -> str:
    """Its model, as Linux names it."""
    rows = (row.partition(":") for row in Path("/proc/cpuinfo").read_text().splitlines())
    return next((value.strip() for name, _, value in rows if name.strip() == "model name"), platform.machine())


def commit() -> str:
    """Of the code that ran; with a word about changes that are in no commit. Results are no code."""
    changed = _git("status", "--porcelain", "--", ".", ":!loadtest/results")
    return (_git("rev-parse", "--short=12", "HEAD") or "unknown") + (" and uncommitted changes" if changed else "")


def _git(*arguments: str) -> str:
    try:
        line = ["git", *arguments]
        done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    except FileNotFoundError:
        return ""
    return done.stdout.strip()
