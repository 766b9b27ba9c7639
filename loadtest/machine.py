"""On what, and of what, figures were measured: enough to compare, nothing that names the host or its owner."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def described(*packages: str) -> dict[str, str]:
    """Processor, cores, memory and software, in words; ``packages`` with their versions."""
    model = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": model[1] if model else platform.machine(),
        "cores": str(os.cpu_count()),
        "memory": f"{pages / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release().partition('-')[0]}",  # what follows tells the hoster
        "python": f"{platform.python_version()} ({_build()})",
        "packages": ", ".join(f"{name} {version(name)}" for name in packages),
    }


def _build() -> str:
    """Who made this Python: one that was built without its optimisations is a tenth slower and more."""
    if sys.base_prefix == "/usr":
        return f"of {platform.freedesktop_os_release()['PRETTY_NAME']}"
    optimised = "--enable-optimizations" in str(sysconfig.get_config_var("CONFIG_ARGS"))
    return f"built {'with' if optimised else 'without'} --enable-optimizations"


def busy() -> float:
    """Processes that wanted a core in the last minute: above 0.5 before a run, somebody else is using this machine."""
    return os.getloadavg()[0]


def commit() -> str:
    """The short hash of what is measured, with ``+`` when the code differs from it; ``unknown`` outside of git."""
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!loadtest/results", ":!docs/peers.md")
    hashed = _git("rev-parse", "--short", "HEAD")
    return hashed + ("+" if changed else "") if hashed else "unknown"


def _git(*arguments: str) -> str:
    try:
        line = ["git", *arguments]
        done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    except FileNotFoundError:
        return ""
    return done.stdout.strip()
