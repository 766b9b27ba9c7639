"""npm's oidc-provider as the identity provider of a test, and the person with a browser who logs in there."""

from __future__ import annotations

import asyncio
import html
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from harness import node, toolbox
from harness.ports import reserved_port

SOURCE = Path(__file__).with_name("oidc_provider")
SECRET = "s3cret-planted"
CALLBACK = "http://127.0.0.1:1/api/gateway/oauth/callback"
"""Where the provider sends the browser back to: nothing listens there, the test takes the address."""
_MOST_STEPS = 12


@dataclass(frozen=True, slots=True)
class Oidc:
    url: str
    session: aiohttp.ClientSession

    async def stats(self) -> dict[str, Any]:
        async with self.session.get(f"{self.url}/stats") as response:
            return dict(await response.json())

    async def hold(self) -> None:
        """The next request for a token is not processed; it waits until its client is gone."""
        async with self.session.get(f"{self.url}/hold") as response:
            assert response.status == 200

    async def agree(self, url: str) -> dict[str, str]:
        """Log in on the pages of the provider and agree; the parameters that the browser brings back."""
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
            at = URL(url)
            for _ in range(_MOST_STEPS):
                async with browser.get(at, allow_redirects=False) as response:
                    location, text = response.headers.get("Location"), await response.text()
                if location is None:
                    location = await _submitted(browser, at, text)
                at = at.join(URL(location))
                if str(at).startswith(CALLBACK):
                    return dict(at.query)
        raise AssertionError(f"the provider never came back: {at}")

    async def type_code(self, complete_url: str) -> None:
        """Open the page of a device, confirm its code, log in and agree."""
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
            at: URL = URL(complete_url)
            for _ in range(_MOST_STEPS):
                async with browser.get(at, allow_redirects=False) as response:
                    location, text = response.headers.get("Location"), await response.text()
                while location is None:
                    if "Sign-in Success" in text:
                        return
                    location, text, at = await _posted(browser, at, text)
                at = at.join(URL(location))
        raise AssertionError(f"the provider never agreed: {at}")


async def _submitted(browser: aiohttp.ClientSession, at: URL, text: str) -> str:
    location, _, _ = await _posted(browser, at, text)
    assert location is not None, text
    return location


async def _posted(browser: aiohttp.ClientSession, at: URL, text: str) -> tuple[str | None, str, URL]:
    """Submit the form of a page of the provider."""
    action = re.search(r'action="([^"]+)"', text)
    assert action is not None, text
    fields = dict(re.findall(r'<input[^>]*type="hidden"[^>]*name="([^"]+)"[^>]*value="([^"]*)"', text))
    fields |= {"login": "ann", "password": "x"}
    target = at.join(URL(html.unescape(action[1])))
    async with browser.post(target, data=fields, allow_redirects=False) as response:
        return response.headers.get("Location"), await response.text(), target


@asynccontextmanager
async def provider() -> AsyncIterator[Oidc]:
    """A provider of its own; skips the test, with the reason, where there is no Node or no npm."""
    if shutil.which("node") is None:
        toolbox.unavailable("node is not installed here")
    packages = await asyncio.to_thread(node.packages, "oidc-provider", SOURCE)
    script = packages.with_name("provider.mjs")
    script.write_bytes((SOURCE / "provider.mjs").read_bytes())
    port = reserved_port()
    process = await asyncio.create_subprocess_exec(
        "node", str(script), str(port), CALLBACK, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            while (await process.stdout.readline()).strip() != b"up":
                pass
        async with aiohttp.ClientSession() as session:
            yield Oidc(f"http://127.0.0.1:{port}", session)
    finally:
        process.kill()
        await process.wait()
