"""Programs from Debian's packages, for tests that need them."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Sequence

_APT = ("apt-get", "--yes", "--quiet", "--option", "DPkg::Lock::Timeout=240")


def installing(packages: Sequence[str]) -> tuple[str, ...]:
    """The command that installs them."""
    return (*_APT, "install", "--no-install-recommends", *packages)


def found(*names: str) -> str:
    """Where the first of these programs is; empty when none is here."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    return next(filter(None, (shutil.which(name, path=path) for name in names)), "")


def prepare(packages: Sequence[str], *names: str) -> None:
    """Install ``packages`` where none of the programs ``names`` is here, and this may be done.

    To be called before any test, since it takes a minute.
    """
    if found(*names) or os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    # RUNLEVEL: services of packages are not started (invoke-rc.d(8)).
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    command = installing(packages)
    with contextlib.suppress(subprocess.TimeoutExpired):
        for line in (command, (*_APT, "update"), command):
            subprocess.run(line, env=env, capture_output=True, timeout=300)
            if found(*names):
                return
