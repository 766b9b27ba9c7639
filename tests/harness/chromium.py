"""A real Chromium of the system; tests that need it are skipped, with the reason, where there is none."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, async_playwright

from harness import toolbox

_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
_APT = ("apt-get", "--yes", "--quiet", "--option", "DPkg::Lock::Timeout=240")
_INSTALL = (*_APT, "install", "--no-install-recommends", "chromium", "fonts-liberation")


def find() -> str:
    """Where it is. Where it is not the test is skipped, in CI it fails."""
    found = _found()
    if not found:
        toolbox.unavailable(f"no Chromium is here (looked for {', '.join(_NAMES)}); install it: {' '.join(_INSTALL)}")
    return found


def _found() -> str:
    return next(filter(None, map(shutil.which, _NAMES)), "")


def prepare() -> None:
    """Install it by Debian's package manager where that may be done: before any test, since it takes a minute."""
    if _found() or os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with contextlib.suppress(subprocess.TimeoutExpired):
        for command in (_INSTALL, (*_APT, "update"), _INSTALL):
            subprocess.run(command, env=env, capture_output=True, timeout=300)
            if _found():
                return


@asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Browser]:
    """``folder``: its home, so that nothing of the user's is read or written."""
    executable = find()
    # As root, as in most containers, its sandbox does not start; it shows nothing but our own page.
    arguments = ["--no-sandbox", "--disable-dev-shm-usage"] if os.geteuid() == 0 else ["--disable-dev-shm-usage"]
    async with async_playwright() as made:
        launched = await made.chromium.launch(
            executable_path=executable, args=arguments, env={**os.environ, "HOME": str(folder)}
        )
        try:
            yield launched
        finally:
            await launched.close()
