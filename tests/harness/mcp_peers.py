"""The SDKs of the Model Context Protocol, one for each of its eras: from PyPI, each in an environment of its own."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from harness import toolbox
from harness.patience import PATIENCE, when
from harness.ports import reserved_port

FOLDER = Path(__file__).with_name("mcp")
ERAS = {"older": "2025-11-25", "newer": "2026-07-28"}
"""The version that the SDK of each era speaks with a server that speaks both."""


def python(era: str) -> Path:
    """The Python with the SDK of ``era``; skips the test where it cannot be installed."""
    lock = FOLDER / f"{era}.txt"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    version = f"{sys.version_info.major}.{sys.version_info.minor}"

    def install(folder: Path) -> None:
        toolbox.run([sys.executable, "-m", "venv", folder], folder.parent)
        pip = [folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
        toolbox.run([*pip, "--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", lock], folder)

    return toolbox.cached(f"mcp-{era}-{version}-{digest}", install) / "bin/python"


async def client(era: str, url: str, steps: list[dict[str, Any]], token: str = "") -> dict[str, Any]:
    """What the client of ``era`` gets for ``steps``: ``version``, and ``results`` in their order.

    A step is ``{"list": true}`` or ``{"call": NAME, "arguments": {}}``; several in a list of ``"together"`` are made at
    the same time.
    """
    told = json.dumps({"url": url, "steps": steps, "token": token})
    process = await asyncio.create_subprocess_exec(
        *(python(era), "-I", FOLDER / f"{era}_client.py"), stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    out, error = await asyncio.wait_for(process.communicate(told.encode()), 60)
    assert process.returncode == 0, error.decode()[-2000:]
    return dict(json.loads(out))


@asynccontextmanager
async def server(era: str, how: str, port: int = 0) -> AsyncIterator[str]:
    """The URL of a server of ``era`` with the tools ``add``, ``fail``, ``hold``, ``release``, which ends those that
    hold, and ``tally``: how many hold, and how many were cancelled. ``how``: it responds ``plain``, by JSON and without
    a session, or with ``events``. ``port`` 0: any."""
    port = port or reserved_port()
    command = (python(era), "-I", FOLDER / "server.py", era, str(port), how)
    process = await asyncio.create_subprocess_exec(*command, stdout=DEVNULL, stderr=DEVNULL)
    try:
        await when(partial(_listens, port), 60, f"the server of the {era} era")
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), PATIENCE)
        except TimeoutError:  # it waits for a call that holds, as after a test that failed
            process.kill()
            await process.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
