"""What every soak stands on: a gateway in a process of its own, and what the kernel tells of it. Loopback only."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import aiohttp

from gateway.demo.ports import reserved

if TYPE_CHECKING:  # others import this module from the folder above
    from certificate import Certificate

HOST = "127.0.0.1"
SYN_SENT, LISTEN = "02", "0A"
"""States of one that is being dialled and of a listener, in /proc/net/tcp (Linux, include/net/tcp_states.h)."""
MEGABYTE = 1 << 20
START = 90.0
"""Seconds for a gateway to start on a machine that is busy besides."""


def listener(backlog: int = 1024) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((HOST, 0))
    sock.listen(backlog)
    sock.setblocking(False)
    return sock


def port_of(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


_held: list[socket.socket] = []


def reserved_port() -> int:
    """A port for one server; to the end of this process nobody gets it by chance."""
    _held.append(reserved(f"{HOST}:0"))
    return port_of(_held[-1])


def dialling(port: int) -> int:
    """Connections to ``port`` on this machine that wait for the answer to their SYN."""
    wanted = f":{port:04X}"
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return sum(row[2].endswith(wanted) and row[3] == SYN_SENT for row in rows)


def command(*arguments: str) -> str:
    """What ``python -m gateway`` prints for these; CalledProcessError when it fails."""
    line = [sys.executable, "-m", "gateway", *arguments]
    done = subprocess.run(line, check=True, capture_output=True, text=True, timeout=180)  # noqa: S603 - our own command
    return done.stdout.strip()


def child_of(supervisor: int, module: str) -> int:
    """The process that runs ``module`` among the supervisor's children; 0 when there is none now."""
    return next(iter(children_of(supervisor, module)), 0)


def children_of(supervisor: int, module: str) -> list[int]:
    """All of them, the oldest first; none when the supervisor has ended."""
    try:
        children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [int(pid) for pid in children if module.encode() in command_line(int(pid))]


def command_line(pid: int) -> bytes:
    """Its arguments; empty for one that has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has taken so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Front(Protocol):
    """What stands before an upstream; ``authority`` is the file of the certificate authority that it is trusted by."""

    port: int
    authority: Path

    async def start(self) -> None: ...
    async def aclose(self) -> None: ...


class GatewayProcess:
    """``python -m gateway run`` with one proxy ``p`` at ``/``; ended by its own pid.

    With ``admin`` it is a whole gateway with a database and a control plane at ``api``, and ``pid`` is its worker's.
    With ``secure`` it has a second listener with TLS, at `secure_port`, and speaks HTTP/2 at both.
    ``proxies`` stand in its file instead of ``p``; ``settings`` go over those of the whole gateway, and further
    arguments over those of the proxy. The upstream of ``p`` is reached over TLS
    when there is a `terminator`, and ``https`` is not denied.
    """

    terminator: Callable[[int, Path], Front] | None = None
    """Makes the TLS before an upstream's port, with its files in a folder."""

    def __init__(
        self,
        upstream_port: int,
        *,
        log: bool | Path = False,
        admin: bool = False,
        proxies: Sequence[Mapping[str, Any]] | None = None,
        settings: Mapping[str, Any] | None = None,
        https: bool = True,
        secure: Certificate | None = None,
        **proxy: Any,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="gateway-soak-")
        folder = Path(self._folder.name)
        self.port = reserved_port()
        self.log = log if isinstance(log, Path) else folder / "access.log"
        self._errors = folder / "errors.log"
        self._file = folder / "gateway.json"
        made = type(self).terminator
        self._terminator = made(upstream_port, folder) if made is not None and https else None
        url = f"https://{HOST}:{self._terminator.port}" if self._terminator else f"http://{HOST}:{upstream_port}"
        one = {"name": "p", "path": "/", "upstream": url, "access_rule": "true"}
        self.proxy: dict[str, Any] = one | proxy
        self._admin = f"{HOST}:{reserved_port()}" if admin else None
        self.secure_port = reserved_port() if secure else 0
        listen: Any = f"{HOST}:{self.port}"
        if secure:
            tls = {"certificates": [{"cert": str(secure.chain), "key": str(secure.key)}]}
            listen = [{"address": listen, "http2": True}, {"address": f"{HOST}:{self.secure_port}", "tls": tls}]
        document = {
            "listen": listen,
            "admin": {"listen": self._admin} if admin else None,
            "database": f"sqlite:///{folder}/gateway.db" if admin else None,
            "access_log": {"path": str(self.log) if log else "/dev/null"},
            "drain_timeout": 1,
            "proxies": [self.proxy] if proxies is None else list(proxies),
        } | dict(settings or {})
        self._document = document
        self._file.write_text(json.dumps(document))
        self.pid = 0

    @property
    def api(self) -> str:
        return f"http://{self._admin}/api/gateway"

    @property
    def control(self) -> int:
        """The pid of the control process; 0 while there is none."""
        return child_of(self._process.pid, "gateway.control.process")

    def token(self, *rights: str) -> str:
        """A new token with ``--metrics`` or ``--superuser``."""
        return command("token", "create", rights[0].strip("-"), *rights, "--config", str(self._file))

    async def __aenter__(self) -> Self:
        line = (sys.executable, "-m", "gateway", "run", "--config", str(self._file))
        environment = os.environ | {"GATEWAY_DUMPABLE": "1"}  # its memory and its sockets are read from here
        if self._terminator is not None:
            await self._terminator.start()
            environment["SSL_CERT_FILE"] = str(self._terminator.authority)
        with self._errors.open("wb") as errors:
            self._process = await asyncio.create_subprocess_exec(*line, stdout=errors, stderr=errors, env=environment)
        self.pid = self._process.pid
        try:
            await self._listening()
            if self._admin:
                async with aiohttp.ClientSession() as session:
                    await self.ready(session)
                self.pid = child_of(self._process.pid, "gateway.workers.worker")
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def _listening(self) -> None:
        end = time.monotonic() + START
        while True:
            try:
                _, writer = await asyncio.open_connection(HOST, self.port)
            except OSError:
                if time.monotonic() > end or self._process.returncode is not None:
                    raise SystemExit(f"the gateway did not start:\n{self._errors.read_text()}") from None
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return

    async def ready(self, session: aiohttp.ClientSession) -> None:
        """Wait for the control plane; SystemExit when it does not come."""
        end = time.monotonic() + START
        while not await self._answers(session):
            if time.monotonic() > end:
                raise SystemExit(f"the control plane did not start:\n{self._errors.read_text()}")
            await asyncio.sleep(0.05)

    async def _answers(self, session: aiohttp.ClientSession) -> bool:
        """Whether the control plane says that it is ready."""
        try:
            async with session.get(f"{self.api}/readyz") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def __aexit__(self, *_: object) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._process.returncode is None:
                self._process.send_signal(number)
            try:
                await asyncio.wait_for(self._process.wait(), 5)
                break
            except TimeoutError:
                continue
        if self._terminator is not None:
            await self._terminator.aclose()
        self._folder.cleanup()

    def workers(self) -> list[int]:
        """The pids of all workers, also of those that are replaced and still drain."""
        return children_of(self._process.pid, "gateway.workers.worker")

    def callers(self, pid: int) -> int:
        """Connections of callers that one worker has accepted."""
        port = f":{self.port:04X}"
        rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
        inodes = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(port) and row[3] != LISTEN}
        return sum(str(link.readlink()) in inodes for link in Path(f"/proc/{pid}/fd").iterdir())

    def follow(self) -> None:
        """Look at another worker when the one that was looked at is gone."""
        found = self.workers()
        if found and self.pid not in found:
            self.pid = found[0]

    def said(self) -> str:
        """All that its processes have logged."""
        return self._errors.read_text()

    def signal(self, number: int) -> None:
        """To the supervisor."""
        self._process.send_signal(number)

    def reload(self, **changes: Any) -> None:
        """Ask for a reload with ``changes`` to its first proxy."""
        proxies = self._document["proxies"]
        assert isinstance(proxies, list)
        proxies[0] |= changes
        self._file.write_text(json.dumps(self._document))
        self._process.send_signal(signal.SIGHUP)

    def kill_worker(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def replaced(self) -> bool:
        """Whether there is another worker, which is then the one that is looked at."""
        found = child_of(self._process.pid, "gateway.workers.worker")
        if found in (0, self.pid):
            return False
        self.pid = found
        return True

    def descriptors(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())

    def memory(self) -> tuple[float, float]:
        """Resident set size and proportional set size, in MiB."""
        rows = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()[1:]
        kilobytes = {row.split()[0]: int(row.split()[1]) for row in rows}
        return kilobytes["Rss:"] / 1024, kilobytes["Pss:"] / 1024

    def sockets(self) -> int:
        """Open sockets, the listening one included."""
        return sum(self._is_socket(link) for link in Path(f"/proc/{self.pid}/fd").iterdir())

    @staticmethod
    def _is_socket(link: Path) -> bool:
        try:
            return str(link.readlink()).startswith("socket:")
        except FileNotFoundError:  # closed while we looked
            return False

    def lines(self) -> list[dict[str, Any]]:
        """Every complete line of the access log."""
        return [json.loads(line) for line in self.log.read_bytes().split(b"\n")[:-1]]


class Memory:
    """Samples a gateway's memory while the context lasts; growth is against the moment of entering."""

    def __init__(self, gateway: GatewayProcess, every: float = 0.1) -> None:
        self._gateway = gateway
        self._every = every

    async def __aenter__(self) -> Self:
        self.start = self.peak = self._gateway.memory()
        self.samples = 0
        self._task = asyncio.create_task(self._sample())
        return self

    async def _sample(self) -> None:
        while True:
            rss, pss = self._gateway.memory()
            self.peak = max(self.peak[0], rss), max(self.peak[1], pss)
            self.samples += 1
            await asyncio.sleep(self._every)

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()

    @property
    def growth(self) -> tuple[float, float]:
        return self.peak[0] - self.start[0], self.peak[1] - self.start[1]


async def until(condition: Callable[[], object], within: float = 10.0, every: float = 0.001) -> bool:
    """Poll ``condition``; whether it became true within so many seconds."""
    end = time.monotonic() + within
    while not condition():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(every)
    return True


def table(title: str, rows: list[tuple[str, ...]]) -> None:
    """Columns as wide as their widest cell; the first row is the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    print(f"\n{title}")
    for row in rows:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))
