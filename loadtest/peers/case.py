"""What is measured: each case is a function from a fresh target to named figures."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import uvloop

from loadtest.peers import idle, latency, procfs, streams, tls, wrk
from loadtest.peers.pacer import DELAY, FRAMES
from loadtest.peers.server import PeerError, Server
from loadtest.wrk_output import Result

Figures = dict[str, float]
STREAMS = 512
"""Of the case that counts CPU a frame."""
FEWEST, MOST = 64, 4096
"""Streams that the search begins with, and its bound."""
TRIES = 2
"""Trials in vain after which a number of streams is too many: one may have met a hiccup of the machine."""
SETTLE = 2.0
"""Seconds after which memory is read: both when all is idle and when all have left."""
SLOW_CONNECTIONS = 256


@dataclass(frozen=True)
class Surroundings:
    """Where to measure. ``server`` is the target, or the origin itself when there is no proxy between."""

    server: Server
    origin: Server
    seconds: int

    @property
    def is_proxy(self) -> bool:
        return self.server is not self.origin


@dataclass(frozen=True)
class Case:
    told: str
    measure: Callable[[Surroundings], Figures]
    paced: bool = False
    """Its origin is the one that keeps time."""
    direct: bool = False
    """It is measured without a proxy too."""
    upstream: str = "http"
    """How its origin is reached: http, https or h2c."""
    secure: bool = False
    """Its clients come over TLS; targets without such a listener are left out."""


def requests(load: Callable[[Server, int], Result]) -> Callable[[Surroundings], Figures]:
    """``load`` gets a server and seconds."""

    def measure(where: Surroundings) -> Figures:
        server = where.server
        load(server, 1)
        before, lines = procfs.cpu_seconds(server.pid), server.log_lines()
        result = load(server, where.seconds)
        cpu = procfs.cpu_seconds(server.pid) - before
        if not result.requests:
            raise PeerError("no request was answered")
        figures = {"requests_per_second": result.requests / result.seconds, "errors": float(result.errors)}
        if where.is_proxy:
            figures["cpu_us"] = cpu / result.requests * 1e6
            figures["log_lines_per_request"] = _log_lines(server, lines, result.requests) / result.requests
        return figures

    return measure


def plain(path: str, connections: int, script: str = "") -> Callable[[Surroundings], Figures]:
    return requests(partial(wrk.run, wrk.Load(path, connections, script)))


def over_tls(title: str, load: tls.Load, upstream: str = "http") -> Case:
    return Case(title, requests(partial(tls.run, load)), upstream=upstream, secure=True)


def handshakes(title: str, *, resumed: bool) -> Case:
    return Case(title, requests(partial(tls.handshakes, resumed=resumed)), secure=True)


def _log_lines(server: Server, before: int, wanted: int) -> int:
    """Lines since then; given the time that a log written in blocks may take."""
    end = time.monotonic() + 3
    while (lines := server.log_lines() - before) < wanted and time.monotonic() < end:
        time.sleep(0.2)
    return lines


def added_latency(where: Surroundings) -> Figures:
    direct, through = latency.Line(where.origin.port, "/"), latency.Line(where.server.port, f"{where.server.prefix}/")
    try:
        near, far = (sorted(times) for times in latency.both(direct.timed, through.timed, where.seconds))
    finally:
        direct.close()
        through.close()
    at = {"p50": 0.5, "p99": 0.99}
    return {
        f"added_{name}_us": (far[int(len(far) * share)] - near[int(len(near) * share)]) * 1e6
        for name, share in at.items()
    } | {"direct_p50_us": statistics.median(near) * 1e6, "asked": float(len(far))}


def most_streams(where: Surroundings) -> Figures:
    def holds(size: int) -> bool:
        idle.allow(size)
        server = where.server
        trials = (uvloop.run(streams.trial(server.port, server.prefix, where.origin.port, size)) for _ in range(TRIES))
        return any(trial.held for trial in trials)

    return {"streams": float(streams.most(holds, FEWEST, MOST))}


def cost_of_a_frame(where: Surroundings) -> Figures:
    before = 0.0

    def at_start() -> None:
        nonlocal before
        before = procfs.cpu_seconds(where.server.pid)

    server = where.server
    done = uvloop.run(streams.trial(server.port, server.prefix, where.origin.port, STREAMS, at_start))
    cpu = procfs.cpu_seconds(server.pid) - before
    if done.frames < STREAMS * FRAMES:
        raise PeerError(f"{done.frames} of {STREAMS * FRAMES} frames came")
    figures = {"worst_late_ms": done.worst * 1e3, "stalls": float(done.stalls)}
    return figures | ({"cpu_us": cpu / done.frames * 1e6} if where.is_proxy else {})


def memory(where: Surroundings, alpn: str = "") -> Figures:
    """Over TLS where ``alpn`` names a protocol."""

    async def measure() -> Figures:
        server = where.server
        start = procfs.memory(server.pid)
        opened = await idle.idle(server, alpn)
        await asyncio.sleep(SETTLE)
        held = procfs.memory(server.pid)
        for transport in opened:
            transport.close()
        await asyncio.sleep(SETTLE)
        each = (held - start) * 1024 / len(opened)
        return {"start_mib": start, "idle_mib": held, "left_mib": procfs.memory(server.pid), "connection_kib": each}

    idle.allow(idle.CONNECTIONS)
    return uvloop.run(measure())


CASES = {
    "get": Case("small GET, 64 connections", plain("/", 64)),
    "post1k": Case("POST of 1 KB, 64 connections", plain("/", 64, wrk.POST)),
    "body64k": Case("answer of 64 KB, 16 connections", plain("/files/64k", 16)),
    "body10m": Case("answer of 10 MB, 8 connections", plain("/files/10m", 8)),
    "https": Case("small GET, 64 connections, over TLS to the origin", plain("/", 64), upstream="https"),
    "https64k": Case(
        "answer of 64 KB, 16 connections, over TLS to the origin", plain("/files/64k", 16), upstream="https"
    ),
    "latency": Case("one connection, against no proxy at all", added_latency),
    "slow": Case(
        f"upstream that takes {DELAY * 1e3:.0f} ms, {SLOW_CONNECTIONS} connections",
        plain("/slow", SLOW_CONNECTIONS),
        paced=True,
        direct=True,
    ),
    "streams": Case(f"most streams without a stall, up to {MOST}", most_streams, paced=True, direct=True),
    "frames": Case(f"{STREAMS} streams", cost_of_a_frame, paced=True, direct=True),
    "memory": Case(f"{idle.CONNECTIONS} idle connections", memory),
    "tls": over_tls("HTTP/1.1 over TLS from the client, 64 connections", tls.Load(64)),
    "h2x1": over_tls("HTTP/2 over TLS, 64 connections of 1 stream", tls.Load(64, 1)),
    "h2x8": over_tls("HTTP/2 over TLS, 16 connections of 8 streams", tls.Load(16, 8)),
    "h2uris": over_tls(f"as h2x8, with {tls.URIS} URIs", tls.Load(16, 8, various=True)),
    "h2body64k": over_tls("HTTP/2 over TLS, 16 connections of 4 streams, 64 KB", tls.Load(16, 4, "/files/64k")),
    "h2up": over_tls("as h2x8, and HTTP/2 without TLS to the origin", tls.Load(16, 8), upstream="h2c"),
    "handshake": handshakes("a full TLS 1.3 handshake, ECDSA on P-256, with one request", resumed=False),
    "resumed": handshakes("the same, resumed by a ticket", resumed=True),
    "memorytls": Case(
        f"{idle.CONNECTIONS} idle connections, HTTP/1.1 over TLS", partial(memory, alpn="http/1.1"), secure=True
    ),
    "memoryh2": Case(f"{idle.CONNECTIONS} idle connections, HTTP/2 over TLS", partial(memory, alpn="h2"), secure=True),
}
