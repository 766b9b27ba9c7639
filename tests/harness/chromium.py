"""A real Chromium of the system; tests that need it are skipped, with the reason, where there is none."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from playwright.async_api import Browser, async_playwright

from harness import debian, toolbox

_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
_PACKAGES = ("chromium", "fonts-liberation")
_QUIET = (
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-default-browser-check",
    "--no-first-run",
    "--password-store=basic",
)
"""It asks nothing of the network, and nothing of a desktop, by itself."""


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


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """One process for many tests, because its start takes a second of two cores; each test has a context of its own.

    ``folder``: its home, so that nothing of the user's is read or written. Yields the URL where it is controlled.
    """
    arguments = ["--headless", "--remote-debugging-port=0", f"--user-data-dir={folder / 'profile'}", *_QUIET]
    if os.geteuid() == 0:  # its sandbox does not start, as in most containers; it shows nothing but our own page
        arguments.append("--no-sandbox")
    with (folder / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            [find(), *arguments, "about:blank"], env={**os.environ, "HOME": str(folder)}, stdout=log, stderr=log
        )
    try:
        yield f"http://127.0.0.1:{_port(process, folder)}"
    finally:
        process.terminate()
        process.wait(20)


def _port(process: subprocess.Popen[bytes], folder: Path) -> int:
    """Where it listens; it writes that into its profile once it does."""
    written, end = folder / "profile/DevToolsActivePort", time.monotonic() + 50
    while not (written.exists() and written.read_text().count("\n")):
        assert process.poll() is None, (folder / "chromium.log").read_text()
        assert time.monotonic() < end, "Chromium did not start"
        time.sleep(0.05)
    return int(written.read_text().splitlines()[0])


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Browser]:
    """The browser of `running`; what contexts were made here are closed at the end."""
    async with async_playwright() as made:
        browser = await made.chromium.connect_over_cdp(url)
        try:
            yield browser
        finally:
            await browser.close()
