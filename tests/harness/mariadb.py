"""A real MariaDB for the tests, from Debian's packages, which are unpacked into the cache and not installed."""

from __future__ import annotations

import getpass
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from harness import toolbox
from harness.ports import reserved_port

_PACKAGES = ("mariadb-server-core", "libaio1", "liburing2", "libsnappy1v5", "libnuma1")
_READY = 60.0
_names = count()


def _fetch(folder: Path) -> None:
    toolbox.run(["apt-get", "download", *_PACKAGES], folder)
    for package in sorted(folder.glob("*.deb")):
        toolbox.run(["dpkg", "-x", package.name, "root"], folder)
        package.unlink()


class MariaDb:
    """A server without grants on a port of this machine; each test gets a new database in it."""

    def __init__(self, folder: Path, *options: str) -> None:
        root = toolbox.cached("mariadb", _fetch) / "root"
        self._folder = folder
        self.port = reserved_port()
        self._command = [
            str(root / "usr/sbin/mariadbd"),
            "--no-defaults",
            f"--basedir={root / 'usr'}",
            f"--lc-messages-dir={root / 'usr/share/mysql'}",
            f"--datadir={folder / 'data'}",
            f"--socket={folder / 'socket'}",
            f"--pid-file={folder / 'pid'}",
            f"--user={getpass.getuser()}",
            "--skip-grant-tables",
            "--skip-log-bin",
            "--bind-address=127.0.0.1",
            f"--port={self.port}",
            *options,
        ]
        self._env = {**os.environ, "LD_LIBRARY_PATH": str(root / "usr/lib/x86_64-linux-gnu")}
        (folder / "data").mkdir()
        tables = "CREATE DATABASE mysql;\nCREATE DATABASE test;\n"
        command = [*self._command, "--bootstrap"]
        subprocess.run(command, input=tables, text=True, env=self._env, check=True, capture_output=True, timeout=120)
        self.start()

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, env=self._env, stdout=log, stderr=log)
        end = time.monotonic() + _READY
        while b"ready for connections" not in (self._folder / "log").read_bytes()[self._seen :]:
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError((self._folder / "log").read_text()[-500:])
            time.sleep(0.02)

    _seen = 0

    def kill(self) -> None:
        """Take it away, without a word to its clients."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._seen = len((self._folder / "log").read_bytes())

    again = start

    def database(self) -> str:
        """The URL of a new one."""
        name = f"t{os.getpid()}_{next(_names)}"
        (self._folder / "data" / name).mkdir()  # each folder there is a database
        return f"mariadb://root@127.0.0.1:{self.port}/{name}"

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def start(*options: str) -> Iterator[MariaDb]:
    with tempfile.TemporaryDirectory(prefix="gateway-mariadb-", ignore_cleanup_errors=True) as name:
        try:
            server = MariaDb(Path(name), *options)
        except (OSError, subprocess.SubprocessError, RuntimeError) as error:
            toolbox.unavailable(f"no MariaDB can be started here ({type(error).__name__}: {error})")
        yield server
        server.stop()
