"""On what, and of what, figures were measured; nothing that names the host or its owner."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

from loadtest.peers.target import ROOT


def described() -> dict[str, str]:
    """Processor, cores, memory and software, in words."""
    model = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": model[1] if model else platform.machine(),
        "cores": str(os.cpu_count()),
        "memory": f"{pages / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def busy() -> float:
    """Processes that wanted a core in the last minute: above 0.5 before a run, somebody else is using this machine."""
    return os.getloadavg()[0]


def commit() -> str:
    """The short hash of what is measured, with ``+`` when the tree differs from it; ``unknown`` outside of git."""
    hashed = _git("rev-parse", "--short", "HEAD")
    return hashed + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "") if hashed else "unknown"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603, S607
    return done.stdout.strip()
