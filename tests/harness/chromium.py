"""A real Chromium of the system; tests that need it are skipped, with the reason, where there is none."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, async_playwright

from harness import debian, toolbox

_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
_PACKAGES = ("chromium", "fonts-liberation")


def find() -> str:
    """Where it is. Where it is not the test is skipped, in CI it fails."""
    found = debian.found(*_NAMES)
    if not found:
        command = " ".join(debian.installing(_PACKAGES))
        toolbox.unavailable(f"no Chromium is here (looked for {', '.join(_NAMES)}); install it: {command}")
    return found


def prepare() -> None:
    """Install it where that may be done."""
    debian.prepare(_PACKAGES, *_NAMES)


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
