"""A server in processes of its own, pinned to one core, from its first byte of configuration to its end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from loadtest import certificate
from loadtest.peers import procfs
from loadtest.peers.target import FOLDER, ROOT, NotInstalledError, Target, fill, found
from loadtest.stage import HOST, MEGABYTE, reserved_port

PEER_CORE = 0
OTHER_CORE = 1
"""Of the origin, the load generator and this process."""
FILES = {"64k": 64 * 1024, "10m": 10 * MEGABYTE}


REST_WITHIN, REST_WINDOW, REST_SHARE = 15.0, 0.5, 0.05
"""A server has come to rest when it used less than this share of a core for so many seconds."""


class PeerError(Exception):
    """A server did not start, or did not do its work; the text holds the end of what it said."""


class Server:
    """A running server; ``pid`` is the root of its tree of processes."""

    def __init__(self, port: int, pid: int, folder: Path, prefix: str = "") -> None:
        self.port, self.pid, self.folder, self.prefix = port, pid, folder, prefix
        self.ports = {"http": port}
        """By the scheme of a URL. That of TLS has a certificate of ``authority.pem`` in its folder."""

    def log_lines(self) -> int:
        """Lines of its access log that are there. `PeerError` when the last is no JSON object."""
        try:
            with (self.folder / "access.log").open("rb") as log:
                count, last = 0, b""
                for line in log:
                    if line.startswith(b"{"):
                        count, last = count + 1, line
        except FileNotFoundError:
            return 0
        if count and not isinstance(json.loads(last), dict):
            raise PeerError("its access log is not JSON")
        return count


@contextmanager
def folder() -> Iterator[Path]:
    """A folder that every user may read: nginx, started by root, serves as somebody else."""
    with tempfile.TemporaryDirectory(prefix="gateway-peers-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def origin() -> Iterator[Server]:
    """nginx with small answers and files. `NotInstalledError`, `PeerError`."""
    program = found("nginx")
    if program is None:
        raise NotInstalledError("the origin is nginx: apt-get install nginx")
    with folder() as work:
        (work / "files").mkdir()
        for name, size in FILES.items():
            (work / "files" / name).write_bytes(os.urandom(size))
        certificate.made(work, HOST)
        ports = {scheme: reserved_port() for scheme in ("http", "https", "h2c")}
        values = {name: str(port) for name, port in zip(("ORIGIN", "SECURE", "PRIOR"), ports.values(), strict=True)}
        values["WORK"] = str(work)
        (work / "origin.conf").write_text(fill((FOLDER / "origin.conf").read_text(), values))
        with running([program, "-c", f"{work}/origin.conf"], ports["http"], OTHER_CORE, work) as server:
            server.ports = ports
            yield server


@contextmanager
def pacer() -> Iterator[Server]:
    """The origin that keeps time (`pacer.py`). `PeerError`."""
    port = reserved_port()
    with (
        folder() as work,
        running([sys.executable, "-m", "loadtest.peers.pacer", str(port)], port, OTHER_CORE, work) as it,
    ):
        yield it


@contextmanager
def peer(
    target: Target, origin: Server, scheme: str = "http", *, failures: int = 5, measured: bool = True
) -> Iterator[Server]:
    """A fresh proxy in front of this origin, which it reaches by ``scheme``. `NotInstalledError`, `PeerError`.

    After so many ``failures`` its breaker opens, where it has one. What is ``measured`` has a core of its own, and has
    come to rest, because what it still does at its start is not the cost of a request.
    """
    with folder() as work:
        files = certificate.made(work, HOST)
        (work / "both.pem").write_bytes(files.chain.read_bytes() + files.key.read_bytes())
        port, admin, secure = reserved_port(), reserved_port(), reserved_port()
        values = {
            "PORT": str(port),
            "ADMIN": str(admin),
            "SECURE": str(secure),
            "ORIGIN": str(origin.ports[scheme]),
            "SCHEME": scheme,
            "AUTHORITY": str(origin.folder / "authority.pem"),
            "WORK": str(work),
            "FAILURES": str(failures),
        }
        values["MORE"] = fill(target.more.get(scheme, ""), values)
        command = target.filled(values)
        more = {name: fill(value, values) for name, value in target.environment}
        if scheme == "https":
            more["SSL_CERT_FILE"] = values["AUTHORITY"]
        log = "access.log" if target.log_on_stdout else "stdout.log"
        core = PEER_CORE if measured else None
        with running(command, port, core, work, log, more, target.patience) as server:
            server.prefix, server.ports["https"] = target.prefix, secure
            if measured:
                _wait_until_it_rests(server)
            yield server


@contextmanager
def running(
    command: Sequence[str],
    port: int,
    core: int | None,
    work: Path,
    stdout: str = "stdout.log",
    more: Mapping[str, str] | None = None,
    patience: float = 20.0,
) -> Iterator[Server]:
    """A server by its command, pinned to ``core`` unless that is None. `PeerError` when it does not listen."""
    # Should this process be killed, the kernel asks the server to end (prctl(2), PR_SET_PDEATHSIG).
    pinned = ["setpriv", "--pdeathsig", "TERM"]
    pinned += [*(() if core is None else ("taskset", "--cpu-list", str(core))), *command]
    with (work / stdout).open("wb") as out, (work / "stderr.log").open("wb") as errors:
        surroundings = os.environ | {"GATEWAY_DUMPABLE": "1"} | dict(more or {})  # our memory is read from here too
        process = subprocess.Popen(  # noqa: S603 - our own command
            pinned, stdout=out, stderr=errors, cwd=ROOT, env=surroundings, start_new_session=True
        )
    try:
        _wait_until_it_listens(port, process, patience, work)
        yield Server(port, process.pid, work)
    finally:
        _end(process)


def _wait_until_it_listens(port: int, process: subprocess.Popen[bytes], patience: float, work: Path) -> None:
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if process.poll() is not None:
            raise PeerError(f"it ended with {process.returncode}: {_said(work)}")
        try:
            socket.create_connection((HOST, port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise PeerError(f"it did not listen within {patience:.0f} s: {_said(work)}")


def _wait_until_it_rests(server: Server) -> None:
    """Some listen before they have read their routes, or go on starting beside; that is not the cost of a request."""
    end = time.monotonic() + REST_WITHIN
    while time.monotonic() < end:
        before = procfs.cpu_seconds(server.pid)
        time.sleep(REST_WINDOW)
        if procfs.cpu_seconds(server.pid) - before < REST_SHARE * REST_WINDOW:
            return


def _said(work: Path) -> str:
    return " ".join(
        (work / name).read_text(errors="replace")[-400:]
        for name in ("stdout.log", "stderr.log")
        if (work / name).exists()
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask, then make: the whole session, so that no worker outlives its parent."""
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
