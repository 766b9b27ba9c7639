"""A gateway starts, serves and ends in every place that shells, cron, containers and service managers give it.

Each place is several odd things at once, as they come together in life; each holds with and without a database.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness.ending import end
from harness.patience import eventually
from harness.ports import reserved_port

START = 30.0
HELD = signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM, signal.SIGINT

pytestmark = pytest.mark.timeout(120)

both = pytest.mark.parametrize("supervised", [False, True], ids=["one process", "supervised"])


class House:
    """A gateway with its files in ``folder``; `process` is its first process, or the program that starts it."""

    def __init__(self, folder: Path, *, supervised: bool) -> None:
        self.folder = folder
        self.supervised = supervised
        self.port = reserved_port()
        self.config = folder / "gateway.yaml"
        self.log = folder / "log"
        self.process: subprocess.Popen[bytes]
        database = f"database: sqlite:///{folder}/gateway.db\n" if supervised else ""
        self.config.write_text(f"listen: 127.0.0.1:{self.port}\naccess_log: {{path: {folder}/access.log}}\n{database}")

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-P", "-m", "gateway", "run", "--config", str(self.config)]

    def serves(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5) as client:
            client.sendall(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            got = b"".join(iter(lambda: client.recv(65536), b""))
            assert got.startswith(b"HTTP/1.1 404 "), got
            assert got.endswith(b"}"), got
            return True
        return False

    async def served(self) -> None:
        def up() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            return self.serves()

        await eventually(up, "an answer", START)

    async def ended(self) -> int:
        return await asyncio.to_thread(self.process.wait, 15)


@pytest.fixture
def house(tmp_path: Path, supervised: bool) -> House:
    return House(tmp_path, supervised=supervised)


def _ignore(*numbers: signal.Signals) -> None:
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)


def _cron() -> None:
    os.setsid()
    os.umask(0o077)
    os.chdir("/")
    os.close(0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 256))


def _left_shell() -> None:
    gone = Path(f"/tmp/gone-{os.getpid()}")
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    _ignore(signal.SIGHUP)
    for descriptor in range(3):
        os.close(descriptor)


def _service_manager() -> None:
    os.umask(0)
    _ignore(signal.SIGPIPE, signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1)
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))


def _container() -> None:
    os.umask(0o777)
    os.setsid()
    resource.setrlimit(resource.RLIMIT_STACK, (resource.RLIM_INFINITY,) * 2)


LONG = "/tmp/" + "x" * 100
PLACES: dict[str, tuple[dict[str, str], Callable[[], None]]] = {
    "cron": ({}, _cron),
    "a shell that left": ({**os.environ, "TMPDIR": "/nowhere"}, _left_shell),
    "a service manager": ({"PATH": "/usr/bin", "LC_ALL": "tr_TR.ISO-8859-9", "TMPDIR": LONG}, _service_manager),
    "a container": ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "HOME": "/nowhere"}, _container),
}


@pytest.mark.parametrize("place", PLACES)
@both
async def test_it_lives_in(place: str, house: House) -> None:
    env, enter = PLACES[place]
    with house.log.open("ab") as log:
        house.process = subprocess.Popen(house.command, env=env, stdout=log, stderr=log, preexec_fn=enter)
    try:
        await house.served()
        house.process.send_signal(signal.SIGHUP)
        house.process.send_signal(signal.SIGUSR1)
        assert house.serves()
        house.process.terminate()
        assert await house.ended() == 0, house.log.read_text()
    finally:
        await end(house.process)
    assert "Traceback" not in house.log.read_text()
    logged = (house.folder / "access.log").read_text()
    assert logged.count('"reason":"no_route"') >= 2
    for path in (*house.folder.glob("gateway.db*"), house.folder / "access.log"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o037 == 0, path
        assert stat.S_IMODE(path.stat().st_mode) & 0o600 == 0o600, path


def held(pid: int) -> bool:
    """Whether this process holds its signals."""
    with contextlib.suppress(OSError, IndexError):
        blocked = int(Path(f"/proc/{pid}/status").read_text().split("SigBlk:")[1].split()[0], 16)
        return all(blocked >> number - 1 & 1 for number in HELD)
    return False


def program(pid: int) -> str:
    """The name of the program that this process runs; empty when it has ended."""
    with contextlib.suppress(OSError):  # reading may fail too, with ESRCH, after opening has succeeded
        return Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")[0]
    return ""


def children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


@both
async def test_signals_while_it_starts_do_not_end_it(house: House) -> None:
    """HUP and USR1 to it and to each process that it starts, from the first instruction of ours on."""
    with house.log.open("ab") as log:
        house.process = subprocess.Popen(house.command, stdout=log, stderr=log)
    sent = 0
    try:
        await eventually(lambda: held(house.process.pid), "its first instructions", START)

        def up() -> bool:
            nonlocal sent
            for pid in (house.process.pid, *children(house.process.pid)):
                for number in (signal.SIGHUP, signal.SIGUSR1):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, number)
                        sent += 1
            assert house.process.poll() is None, house.log.read_text()
            return house.serves()

        await eventually(up, "an answer", START)
        assert "ended" not in house.log.read_text()
        house.process.terminate()
        assert await house.ended() == 0, house.log.read_text()
        assert sent > 20
    finally:
        await end(house.process)


@both
async def test_an_end_that_is_asked_for_while_it_starts_is_a_good_one(house: House) -> None:
    with house.log.open("ab") as log:
        house.process = subprocess.Popen(house.command, stdout=log, stderr=log)
    try:
        await eventually(lambda: held(house.process.pid), "its first instructions", START)
        house.process.terminate()
        assert await house.ended() == 0, house.log.read_text()
    finally:
        await end(house.process)


@contextlib.contextmanager
def namespace(house: House, script: str) -> Iterator[None]:
    """Process 1 of a namespace is a shell that runs ``script``; in it ``"$@"`` is the gateway's command."""
    command = ["unshare", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh", *house.command]
    with house.log.open("ab") as log:
        house.process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield
    finally:
        house.process.kill()
        house.process.wait()


@pytest.mark.skipif(
    shutil.which("unshare") is None or subprocess.run(["unshare", "--pid", "--fork", "true"]).returncode != 0,
    reason="no namespaces here",
)
@both
async def test_as_process_1_it_reaps_orphans_and_its_exit_code_is_right(house: House) -> None:
    # The shell starts three orphans, each by a subshell that ends, and then becomes the gateway.
    with namespace(house, 'for i in 1 2 3; do (sleep 3.33 &); done; exec "$@"'):
        await house.served()
        first = children(house.process.pid)[0]
        await eventually(lambda: "sleep" not in map(program, children(first)), "the end of the orphans", 10)
        os.kill(first, signal.SIGTERM)
        assert await house.ended() == 0, house.log.read_text()


@both
async def test_a_reader_of_its_logs_that_stalls_stops_no_traffic(house: House) -> None:
    """Standard output and standard error as journald gives them: one Unix socket. Nobody reads it."""
    ours, theirs = socket.socketpair()
    house.config.write_text(re.sub("path: [^}]*", "path: '-'", house.config.read_text()))
    house.process = subprocess.Popen(house.command, stdout=theirs, stderr=theirs)
    house.log.touch()
    try:
        await house.served()
        path = b"/" + b"x" * 2000
        with socket.create_connection(("127.0.0.1", house.port), 10) as client:
            for _ in range(1500):
                client.sendall(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path)
                head = b""
                while b"\r\n\r\n" not in head:
                    head += client.recv(65536)
                assert head.startswith(b"HTTP/1.1 404 ")
                house.process.send_signal(signal.SIGHUP)  # it logs too
        assert os.get_blocking(theirs.fileno())
        ours.setblocking(False)
        taken = bytearray()
        with contextlib.suppress(BlockingIOError):
            taken += ours.recv(1 << 20)
        assert taken, "it had written what the socket takes"
        house.process.terminate()
        assert await house.ended() == 0
    finally:
        await end(house.process)
        ours.close()
        theirs.close()


@pytest.mark.parametrize("fault", ["access_log.path", "database", "listen", "admin.listen"])
def test_a_place_that_the_machine_does_not_give_is_one_line_with_the_remedy(fault: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        values = {
            "access_log.path": "-",
            "database": f"sqlite:///{tmp_path}/own.db",
            "listen": "127.0.0.1:0",
            "admin.listen": "127.0.0.1:0",
        }
        no = tmp_path / "no"
        values[fault], told = {
            "access_log.path": (f"{no}/access.log", f"{no}/access.log cannot be written: No such file or directory; "),
            "database": (f"sqlite:///{no}/own.db", f"{no}/own.db cannot be written: No such file or directory; "),
        }.get(fault, (f"127.0.0.1:{port}", f"cannot listen on 127.0.0.1:{port}: Address already in use; "))
        config = tmp_path / "gateway.yaml"
        config.write_text(
            f"listen: {values['listen']}\nadmin: {{listen: {values['admin.listen']}}}\n"
            f"database: {values['database']}\naccess_log: {{path: '{values['access_log.path']}'}}\nproxies: []\n"
        )
        done = subprocess.run(
            [sys.executable, "-m", "gateway", "run", "--config", str(config)],
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    (line,) = [line for line in done.stderr.splitlines() if " ERROR " in line]
    assert f"cannot start: {fault}: {told}" in line
    assert line.endswith(f"or change {fault}")
