"""What hostile clients cost: memory of the worker, and what a good client notices.

    python loadtest/attacks.py [NAME ...] [--pairs 5] [--seconds 4] [--rate 200] [--judge all|memory] [--out FOLDER]

Each attack meets a whole gateway of its own (supervisor, control process, worker). A good client asks at fixed moments,
whatever became of the request before; a tenth of its requests open a connection. Each pair of runs is one without the
attack and one with it. The bounds:

    memory   the worker grows by less than 20 MiB beyond open connections x the documented cost of an idle one
    p99      median of the pairs, counted from the moment when a request was meant to start: within 1.5 x the quiet one,
             or within 5 ms of it, whichever is larger
    errors   the good client gets every response

The worker has one core; clients and upstream share another, the attacker at a lower priority. The report goes to
build/attacks. Loopback only; bounded in connections and in time. The exit code is 1 when a bound is broken.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import certificate
import uvloop
from attackers import ATTACKS, Hostile
from machine import busy, described
from origin import BODY, base64url
from stage import HOST, MEGABYTE, GatewayProcess, cpu, listener, port_of, table, until

GROWTH = 20.0
"""MiB."""
IDLE_KIB = 6.2
"""An idle connection of a client, as docs/tuning.md says."""
SECURE_KIB = 40.0
"""The same with TLS, whatever is spoken over it."""
FACTOR, MARGIN = 1.5, 5.0
"""Of the quiet p99, and milliseconds beyond it."""
CONNECTIONS = 8
"""Keep-alive connections of the good client."""
PATIENCE = 5.0
PRIORITY = -15
"""Of what is measured. The attacker has 0: it is to take the gateway's time, and not the good client's core."""
SETTLE = 2.0
"""Seconds of an attack before the good client is measured, behind the moment when all its connections are open."""
OPENING = 30.0
"""Seconds for that; an attack whose connections are ended at once never has them all."""
GOOD = b"GET /good HTTP/1.1\r\nHost: good.test\r\nAccept: */*\r\n\r\n"
ISSUER, AUDIENCE = "https://issuer.test", "gateway"
ESTABLISHED = "01"
"""In /proc/net/tcp."""
PAGE = os.sysconf("SC_PAGE_SIZE")


class GoodClient:
    """Asks ``rate`` times a second for ``seconds``; latencies count from the moment when a request was due."""

    def __init__(self, port: int, rate: float) -> None:
        self._port = port
        self._rate = rate
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._latencies: list[float] = []
        self.errors = 0

    async def run(self, seconds: float) -> list[float]:
        """Milliseconds, sorted."""
        self._latencies, self.errors = [], 0
        began = time.monotonic()
        asked = []
        for number in range(int(seconds * self._rate)):
            due = began + number / self._rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            asked.append(asyncio.ensure_future(self._ask(due, fresh=number % 10 == 0)))
        await asyncio.gather(*asked)
        return sorted(self._latencies)

    async def _ask(self, due: float, *, fresh: bool) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                if not fresh and self._idle:
                    reader, writer = self._idle.pop()
                else:
                    reader, writer = await asyncio.open_connection(HOST, self._port)
                writer.write(GOOD)
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readexactly(len(BODY))
            assert head.startswith(b"HTTP/1.1 200 "), head
            assert body == BODY
        except (OSError, TimeoutError, asyncio.IncompleteReadError, AssertionError):
            self.errors += 1
            self._latencies.append(PATIENCE * 1e3)
            return
        self._latencies.append((time.monotonic() - due) * 1e3)
        if len(self._idle) < CONNECTIONS:
            self._idle.append((reader, writer))
        else:
            writer.close()

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()


def rss(pid: int) -> float:
    """MiB. From statm, which every user may read of a process that is not dumpable."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / MEGABYTE


def at(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(len(values) * share))]


@dataclass
class Outcome:
    """What an attack came to. Milliseconds and MiB."""

    attack: str
    sentence: str
    connections: int
    """The most that were open at the worker at a time."""
    growth: float = 0.0
    quiet: list[float] = field(default_factory=list)
    """The good client's p99 of each quiet run."""
    attacked: list[float] = field(default_factory=list)
    quiet_median: list[float] = field(default_factory=list)
    attacked_median: list[float] = field(default_factory=list)
    errors: int = 0
    cores: float = 0.0
    """What the worker took of a core under attack."""
    worker_on: list[int] = field(default_factory=list)
    """The cores on which the kernel may run the worker, read back after it was pinned."""
    others_on: list[int] = field(default_factory=list)
    """The same of the good client, and of the upstream and the attacker, which inherit it."""

    @property
    def memory_bound(self) -> float:
        each = IDLE_KIB if ATTACKS[self.attack].over is Hostile else SECURE_KIB
        return GROWTH + self.connections * each / 1024

    @property
    def p99(self) -> tuple[float, float]:
        return statistics.median(self.quiet), statistics.median(self.attacked)

    @property
    def p99_bound(self) -> float:
        quiet, _ = self.p99
        return max(FACTOR * quiet, quiet + MARGIN)

    @property
    def broken(self) -> list[str]:
        judged = {
            "memory": self.growth < self.memory_bound,
            "p99": self.p99[1] <= self.p99_bound,
            "errors": self.errors == 0,
        }
        return [name for name, held in judged.items() if not held]

    def row(self) -> tuple[str, ...]:
        quiet, attacked = self.p99
        return (
            self.attack,
            f"{self.connections}",
            f"{self.growth:.1f}",
            f"{self.memory_bound:.1f}",
            f"{statistics.median(self.quiet_median):.1f}",
            f"{statistics.median(self.attacked_median):.1f}",
            f"{quiet:.1f}",
            f"{attacked:.1f}",
            f"{self.p99_bound:.1f}",
            f"{self.errors}",
            f"{self.cores:.2f}",
            "held" if not self.broken else f"BROKEN: {', '.join(self.broken)}",
        )


HEADINGS = (
    "attack", "connections", "growth MiB", "bound", "p50 quiet", "p50 attacked", "p99 quiet", "p99 attacked", "bound",
    "errors", "cores", "",
)  # fmt: skip


class Peak:
    """The most memory of a process while the context lasts."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.start = self.now = rss(pid)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._sample())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()

    async def _sample(self) -> None:
        while True:
            self.now = max(self.now, rss(self._pid))
            await asyncio.sleep(0.02)


def accepted(port: int) -> int:
    """Connections of clients that a listener on this machine has open."""
    wanted = f":{port:04X}"
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return sum(row[1].endswith(wanted) and row[3] == ESTABLISHED for row in rows)


@contextmanager
def origin() -> Iterator[int]:
    """The upstream, in a process of its own; its port."""
    with listener() as sock:
        line = [sys.executable, str(Path(__file__).with_name("origin.py")), str(sock.fileno())]
        with subprocess.Popen(line, stdin=subprocess.PIPE, pass_fds=[sock.fileno()]) as process:  # noqa: S603 - ours
            try:
                yield port_of(sock)
            finally:
                process.kill()


@contextmanager
def attacker(name: str, port: int, seconds: float) -> Iterator[None]:
    """The attack, in a process of its own."""
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "x", "exp": int(time.time()) + 3600}
    env = os.environ | {"ATTACK_CLAIMS": base64url(json.dumps(claims).encode())}
    line = [sys.executable, str(Path(__file__).with_name("attackers.py")), name, str(port), str(seconds)]
    process = subprocess.Popen(line, env=env, stdin=subprocess.DEVNULL)  # noqa: S603 - our own module
    try:
        yield
        if process.poll():
            raise SystemExit(f"the attacker of {name} failed")
    finally:
        process.kill()
        process.wait()


def gateway_for(upstream: int, secure: certificate.Certificate) -> GatewayProcess:
    url = f"http://{HOST}:{upstream}"
    proxies = [
        {"name": "p", "path": "/", "upstream": url, "access_rule": "true"},
        {"name": "private", "path": "/private", "upstream": url, "access_rule": "@request.auth.id != ''"},
        {"name": "nowhere", "path": "/nowhere", "upstream": url, "access_rule": "false"},
    ]
    jwt = {"issuer": ISSUER, "audience": [AUDIENCE], "algorithms": ["ES512"], "jwks_url": f"{url}/keys"}
    settings = {"auth": {"jwt": [jwt]}}
    return GatewayProcess(upstream, log=True, admin=True, proxies=proxies, settings=settings, secure=secure)


def pin(pid: int, core: int) -> None:
    """Give every thread of a process this core, and a high priority where we may."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            os.sched_setaffinity(int(thread.name), {core})
            os.setpriority(os.PRIO_PROCESS, int(thread.name), PRIORITY)


async def run(name: str, upstream: int, core: int, options: argparse.Namespace, folder: Path) -> Outcome:
    """One attack. The worker is pinned to ``core``; this process must be pinned to another one already."""
    attack = ATTACKS[name]
    outcome = Outcome(name, attack.sentence, 0)
    seconds = options.seconds
    async with gateway_for(upstream, certificate.made(folder, HOST)) as gateway:
        attacked_port = gateway.port if attack.over is Hostile else gateway.secure_port
        pin(gateway.pid, core)
        outcome.worker_on = sorted(os.sched_getaffinity(gateway.pid))
        outcome.others_on = sorted(os.sched_getaffinity(0))
        good = GoodClient(gateway.port, options.rate)
        await good.run(2.0)  # warm
        async with Peak(gateway.pid) as memory:
            for _ in range(options.pairs):
                quiet = await good.run(seconds)
                outcome.quiet.append(at(quiet, 0.99))
                outcome.quiet_median.append(at(quiet, 0.5))
                outcome.errors += good.errors
                with attacker(name, attacked_port, seconds + OPENING + SETTLE + 10):
                    await until(lambda: accepted(attacked_port) >= attack.connections, OPENING, 0.1)
                    await asyncio.sleep(SETTLE)
                    outcome.connections = max(outcome.connections, accepted(attacked_port))
                    before, began = cpu(gateway.pid), time.monotonic()
                    attacked = await good.run(seconds)
                    outcome.cores = max(outcome.cores, (cpu(gateway.pid) - before) / (time.monotonic() - began))
                    outcome.connections = max(outcome.connections, accepted(attacked_port))
                outcome.attacked.append(at(attacked, 0.99))
                outcome.attacked_median.append(at(attacked, 0.5))
                outcome.errors += good.errors
                await asyncio.sleep(SETTLE)
        good.close()
        outcome.growth = memory.now - memory.start
    return outcome


async def main(options: argparse.Namespace) -> int:
    names = options.names or list(ATTACKS)
    machine = described("uvloop") | {"busy": f"{busy():.2f}"}
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2 and options.judge == "all":
        # On a shared core the times would show how the kernel divides it, and not what the gateway does.
        raise SystemExit("times can only be judged with two cores or more; use --judge memory")
    outcomes = []
    for name in names:
        with spare_core(cores), origin() as port, tempfile.TemporaryDirectory(prefix="gateway-attack-") as folder:
            outcomes.append(await run(name, port, cores[0], options, Path(folder)))
        print(f"{outcomes[-1].row()[0]:>16}: {outcomes[-1].row()[-1]}", flush=True)
    rows = [HEADINGS, *(outcome.row() for outcome in outcomes)]
    table(f"{options.pairs} pairs of {options.seconds:g} s at {options.rate:g} requests a second; milliseconds", rows)
    write(options.out, machine, options, outcomes)
    judged = ("memory", "errors") if options.judge == "memory" else ("memory", "errors", "p99")
    broken = [outcome.attack for outcome in outcomes if set(outcome.broken) & set(judged)]
    print(f"\nA BOUND IS BROKEN: {', '.join(broken)}" if broken else "\nevery bound held")
    return 1 if broken else 0


@contextmanager
def spare_core(cores: list[int]) -> Iterator[None]:
    """This process, and the attackers that it starts, stay off the worker's core."""
    pin(os.getpid(), cores[-1])
    try:
        yield
    finally:
        os.sched_setaffinity(0, set(cores))
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, 0)


def write(folder: Path, machine: dict[str, str], options: argparse.Namespace, outcomes: list[Outcome]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    document: dict[str, Any] = {
        "machine": machine,
        "pairs": options.pairs,
        "seconds": options.seconds,
        "rate": options.rate,
        "attacks": [
            asdict(outcome)
            | {"memory_bound": outcome.memory_bound, "p99_bound": outcome.p99_bound, "broken": outcome.broken}
            for outcome in outcomes
        ],
    }
    (folder / "report.json").write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(ATTACKS))
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--judge", choices=("all", "memory"), default="all")
    parser.add_argument("--out", type=Path, default=Path("build/attacks"))
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - ATTACKS.keys():
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(ATTACKS)}")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        raise SystemExit(runner.run(main(chosen)))
