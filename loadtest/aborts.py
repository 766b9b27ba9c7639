"""Clients that leave, in each phase of an exchange: what the upstream, the breaker and the limiter notice of it.

Every phase has a gateway of its own, with a breaker that opens at the first failure and stays open, so that a single
abort taken for a failure shows as a refusal of all that follows. Half of the clients leave with FIN, half with RST.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from dataclasses import dataclass, field
from typing import cast

import http1
from stage import HOST, GatewayProcess, dialling, listener, port_of, table, until

WAVE = 50
"""Clients that leave at the same moment."""
PERMITS = WAVE + 5
BOUND = 100.0
"""Milliseconds at p99 from the client's leaving to the end of the upstream's work."""
RESET = struct.pack("ii", 1, 0)
GUARD = {"enabled": True, "failure_threshold": 1, "recovery_timeout": 3600}
PATIENT = {"dial": 60, "response_header": 0, "body_idle": 0}
CLOSED = ("closed", "")
"""What the log says of a breaker that is closed, or that a request in the queue never came to."""
QUEUE = {"max_waiting": WAVE, "timeout": 600}
BEGUN = http1.head(b"200 OK", b"text/plain", b"Transfer-Encoding: chunked") + http1.chunk(b"begun")
OK = http1.response(b"ok")


class Upstream:
    """``mode``: ``hang`` (never answers), ``begin`` (an answer without an end), ``ok``."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.open: set[Held] = set()
        self.held: dict[bytes, Held] = {}
        """Requests that were not answered to the end, by their target."""
        self.ended: dict[bytes, float] = {}
        """When the connection of such a request was seen to end."""
        self.seen = 0

    def release(self) -> None:
        """Answer all that hang, and all that comes."""
        self.mode = "ok"
        for connection in tuple(self.held.values()):
            connection.finish()


class Held(http1.Answering):
    def __init__(self, upstream: Upstream) -> None:
        super().__init__()
        self._upstream = upstream
        self._target = b""

    def opened(self) -> None:
        self._upstream.open.add(self)

    def asked(self, target: bytes) -> None:
        self._target = target
        self._upstream.seen += 1
        self._upstream.held[target] = self
        self._answer()

    def _answer(self) -> None:
        if self._upstream.mode == "ok":
            self.finish()
        elif self._upstream.mode == "begin":
            self.transport.write(BEGUN)

    def finish(self) -> None:
        self._upstream.held.pop(self._target, None)
        self.transport.write(OK)

    def eof_received(self) -> None:
        self._note()

    def connection_lost(self, _: Exception | None) -> None:
        self._note()
        self._upstream.open.discard(self)

    def _note(self) -> None:
        if self._upstream.held.pop(self._target, None) is not None:
            self._upstream.ended[self._target] = time.monotonic()


class Caller(asyncio.Protocol):
    def __init__(self, target: bytes) -> None:
        self.target = target
        self.received = b""
        self.left = 0.0
        """When it left."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class does not inherit from it
        self._transport.write(http1.request(self.target.decode(), "soak.test"))

    def data_received(self, data: bytes) -> None:
        self.received += data

    @property
    def refused(self) -> bool:
        return bool(self.received) and not self.received.startswith(b"HTTP/1.1 200 ")

    def leave(self, *, reset: bool) -> None:
        if reset:
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.left = time.monotonic()
        self._transport.abort()


@dataclass
class Phase:
    """What one phase came to. ``ended`` are milliseconds."""

    name: str
    aborts: int = 0
    refused: int = 0
    not_in_phase: int = 0
    ended: list[float] = field(default_factory=list)
    missed: int = 0
    """Aborts whose upstream work was not seen to end within the time allowed."""
    failures: int = 0
    still_open: int = 0
    permits_lost: int = 0
    sockets: int = 0
    """More in the gateway than before."""

    def percentile(self, share: float) -> float:
        ordered = sorted(self.ended)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")

    @property
    def held(self) -> bool:
        lost = (self.refused, self.not_in_phase, self.missed, self.failures, self.still_open, self.permits_lost)
        return not any(lost) and self.sockets <= 0 and (not self.ended or self.percentile(0.99) < BOUND)

    def row(self) -> tuple[str, ...]:
        times = [f"{self.percentile(share):.1f}" if self.ended else "-" for share in (0.5, 0.99, 1.0)]
        counts = (self.refused, self.not_in_phase, self.failures, self.permits_lost, self.still_open, self.missed)
        return (self.name, f"{self.aborts}", *(f"{n}" for n in counts), f"{self.sockets:+}", *times)


HEAD = (
    "phase",
    "aborts",
    "refused",
    "strayed",
    "breaker failures",
    "permits lost",
    "upstream open",
    "work not ended",
    "sockets",
    "p50 ms",
    "p99 ms",
    "max ms",
)


async def call(gateway: GatewayProcess, names: list[str]) -> list[Caller]:
    loop, callers = asyncio.get_running_loop(), []
    for name in names:
        _, caller = await loop.create_connection(lambda name=name: Caller(name.encode()), HOST, gateway.port)
        callers.append(caller)
    return callers


def leave_all(callers: list[Caller]) -> None:
    for number, caller in enumerate(callers):
        caller.leave(reset=number % 2 == 1)


def waves(phase: Phase, count: int) -> list[list[str]]:
    names = [f"/{phase.name.replace(' ', '-')}/{number}" for number in range(count)]
    return [names[start : start + WAVE] for start in range(0, count, WAVE)]


async def in_the_upstream(phase: Phase, gateway: GatewayProcess, upstream: Upstream, count: int) -> None:
    """Before the first byte, or in the middle of the body: the upstream itself sees when its work is cut."""
    for names in waves(phase, count):
        callers = await call(gateway, names)
        wanted = {caller.target for caller in callers}
        arrived = await until(lambda wanted=wanted: wanted <= upstream.held.keys(), 5)
        if arrived and upstream.mode == "begin":
            await until(lambda callers=callers: all(b"begun" in caller.received for caller in callers), 5)
        phase.not_in_phase += len(wanted - upstream.held.keys())
        leave_all(callers)
        await until(lambda wanted=wanted: wanted <= upstream.ended.keys(), 5)
        phase.refused += sum(caller.refused for caller in callers)
        times = [(upstream.ended.get(caller.target), caller.left) for caller in callers]
        phase.ended += [(ended - left) * 1e3 for ended, left in times if ended is not None]
        phase.missed += sum(ended is None for ended, _ in times)


async def in_the_dial(phase: Phase, gateway: GatewayProcess, port: int, count: int) -> None:
    """The upstream never answers the SYN, so the kernel's table says when a dial ends; polled every millisecond."""
    ours = dialling(port)  # those that fill the accept queue
    for names in waves(phase, count):
        callers = await call(gateway, names)
        await until(lambda names=names: dialling(port) - ours == len(names), 5)
        left = dialling(port) - ours
        phase.not_in_phase += abs(len(names) - left)
        start = time.monotonic()
        leave_all(callers)
        while left and time.monotonic() < start + 5:
            now = dialling(port) - ours
            phase.ended += [(time.monotonic() - start) * 1e3] * (left - now)
            left = now
            await asyncio.sleep(0.001)
        phase.missed += left
        phase.refused += sum(caller.refused for caller in callers)


async def in_the_queue(phase: Phase, gateway: GatewayProcess, upstream: Upstream, count: int) -> None:
    """All permits are in use, and the queue has just the room of one wave: a place not given back is a refusal."""
    holders = await call(gateway, [f"/holder/{number}" for number in range(PERMITS)])
    await until(lambda: len(upstream.held) == PERMITS, 5)
    gone = 0
    for names in waves(phase, count):
        callers = await call(gateway, names)
        await asyncio.sleep(0.02)  # a place in the queue cannot be seen from outside; the log tells afterwards
        leave_all(callers)
        gone += len(callers)
        phase.refused += sum(caller.refused for caller in callers)
        await until(lambda gone=gone: len(gateway.lines()) >= gone, 5, 0.005)
    left = [line for line in gateway.lines() if line["reason"] == "client_gone"]
    phase.not_in_phase = count - sum(line["queue_ms"] > 0 for line in left)
    phase.missed = upstream.seen - PERMITS
    upstream.release()
    await until(lambda: all(caller.received.endswith(b"ok") for caller in holders), 5)
    leave_all(holders)


async def permits_lost(gateway: GatewayProcess, upstream: Upstream) -> int:
    """Fill the limiter: of `PERMITS` callers, those that do not get to the upstream at the same time."""
    upstream.mode = "hang"
    await until(lambda: not upstream.held, 5)
    callers = await call(gateway, [f"/permit/{number}" for number in range(PERMITS)])
    await until(lambda: len(upstream.held) == PERMITS, 5)
    lost = PERMITS - len(upstream.held)
    upstream.release()
    await until(lambda: all(caller.received.endswith(b"ok") for caller in callers), 5)
    leave_all(callers)
    return lost


async def judge(phase: Phase, gateway: GatewayProcess, upstream: Upstream, before: int) -> None:
    """After the aborts: what is still open, and whether every permit is there and the breaker closed."""
    if phase.name != "queued":
        phase.still_open = len(upstream.open)
        await until(lambda: gateway.sockets() <= before, 2)
        phase.sockets = gateway.sockets() - before
    phase.permits_lost = await permits_lost(gateway, upstream)
    await until(lambda: len(gateway.lines()) >= phase.aborts + PERMITS, 5, 0.05)
    lines = gateway.lines()
    phase.failures = sum(line["circuit_state"] not in CLOSED or line["reason"] == "breaker_open" for line in lines)
    phase.not_in_phase += phase.aborts - sum(line["status_code"] in (499, 200) for line in lines if aborted(line))


def aborted(line: dict[str, object]) -> bool:
    return line["reason"] == "client_gone"


async def run(name: str, count: int) -> Phase:
    loop, phase = asyncio.get_running_loop(), Phase(name, count)
    upstream = Upstream("begin" if name == "mid-body" else "hang")
    sock = listener(0 if name == "dialling" else 1024)
    fillers = fill(sock) if name == "dialling" else []
    server = None if fillers else await loop.create_server(lambda: Held(upstream), sock=sock)
    settings = {"max_concurrent": PERMITS, "circuit_breaker": GUARD, "timeout_config": PATIENT}
    if name == "queued":
        settings["queue"] = QUEUE
    # A dial that hangs is told by its SYN, which a terminator would answer.
    async with GatewayProcess(port_of(sock), log=True, https=name != "dialling", **settings) as gateway:
        before = gateway.sockets()
        if name == "queued":
            await in_the_queue(phase, gateway, upstream, count)
        elif name == "dialling":
            await in_the_dial(phase, gateway, port_of(sock), count)
            for filler in fillers:
                filler.close()
            sock.listen(1024)
            server = await loop.create_server(lambda: Held(upstream), sock=sock)
            await until(lambda: not upstream.open, 5)
        else:
            await in_the_upstream(phase, gateway, upstream, count)
        await judge(phase, gateway, upstream, before)
    if server is not None:
        server.close()
    return phase


def fill(sock: socket.socket) -> list[socket.socket]:
    """Fill the accept queue, so that the kernel drops every further SYN."""
    fillers = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(4)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex((HOST, port_of(sock)))
    return fillers


async def aborts(count: int) -> bool:
    """``count`` aborts in each phase; whether every bound held."""
    phases = [await run(name, count) for name in ("queued", "dialling", "before first byte", "mid-body")]
    table(
        f"aborts: {count} in each phase, {WAVE} at once (bound: p99 < {BOUND:.0f} ms)",
        [HEAD, *(p.row() for p in phases)],
    )
    return all(phase.held for phase in phases)
