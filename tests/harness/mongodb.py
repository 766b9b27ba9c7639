"""A server that speaks MongoDB's protocol: mongoeco, an emulation in Python, because there is no mongod in packages.

It needs Python 3.13. Tests that need it are skipped, with the reason, where that is not.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from harness import toolbox

_RELEASES = ("mongoeco==4.11.0", "pymongo==4.20.1")
_SCRIPT = """
import asyncio
from mongoeco.wire import AsyncMongoEcoProxyServer

async def main():
    async with AsyncMongoEcoProxyServer(port=int(sys.argv[1])) as server:
        print(server.address.port, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def _python() -> str:
    """A Python 3.13, of the path or of pyenv."""
    found = [shutil.which("python3.13"), *map(str, Path.home().glob(".pyenv/versions/3.13*/bin/python"))]
    if sys.version_info >= (3, 13):
        found.insert(0, sys.executable)
    usable = [each for each in found if each]
    if not usable:
        toolbox.unavailable("mongoeco needs Python 3.13, which is not here")
    return usable[-1]


def _fill(folder: Path) -> None:
    toolbox.run([_python(), "-m", "venv", "--copies", "venv"], folder)
    pip = [folder / "venv/bin/python", "-m", "pip", "install", "--quiet", "--only-binary", ":all:"]
    toolbox.run([*map(str, pip), *_RELEASES], folder)


class Mongo:
    """A server of its own, with nothing in it."""

    def __init__(self) -> None:
        name = hashlib.sha256("".join(_RELEASES).encode()).hexdigest()[:12]
        # A virtual environment holds its own path, which the cache changes: its packages alone are used.
        folder = toolbox.cached(f"mongoeco-{name}", _fill)
        (site,) = folder.glob("venv/lib/python3.13*/site-packages")
        self._command = [_python(), "-c", f"import sys; sys.path.insert(0, {str(site)!r})\n{_SCRIPT}"]
        self.port = 0
        self.again()

    def again(self) -> None:
        """Start it, with nothing in it, on the port that it had."""
        command = [*self._command, str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.strip().isdigit():
            self._process.kill()
            raise OSError(self._process.communicate()[1][-300:])
        self.port = int(line)

    @property
    def url(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/shop"

    def freeze(self) -> None:
        """It takes connections, and answers nothing."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


def start() -> Iterator[Mongo]:
    try:
        server = Mongo()
    except OSError as error:
        toolbox.unavailable(f"no mongoeco can be started here ({error})")
    yield server
    server.kill()
