"""What settings cost: CPU of the gateway's process for each request, one setting against the other."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import http1
from experiments.backend import Backend, Behaviour
from experiments.callers import Crowd, request
from experiments.trial import Column, Experiment, Figures, in_rounds, percentile
from stage import GatewayProcess

ROUNDS = 5
SECONDS = 0.5
WARM = 0.15
CROWD = 16

COLUMNS = (Column("CPU us a request", 1, ratio=True), Column("p50 ms", 2), Column("requests/s"))
METHOD = f"{CROWD} callers who ask again at once, an upstream that answers at once. "


def cpu(pid: int) -> float:
    """Seconds of CPU that a process took so far, by its own clock (Linux: clock_getcpuclockid)."""
    return time.clock_gettime((~pid << 3) | 2)


@dataclass(frozen=True, slots=True)
class Load:
    size: int = CROWD
    text: bytes = request()
    pause: float = 0.0


async def costs(gateway: GatewayProcess, load: Load, scale: float) -> Figures:
    async with Crowd(gateway.port, load.size, load.text, load.pause) as crowd:
        await asyncio.sleep(WARM)
        crowd.seconds.clear()
        began, spent = time.monotonic(), cpu(gateway.pid)
        await asyncio.sleep(SECONDS * scale)
        took, spent = time.monotonic() - began, cpu(gateway.pid) - spent
        answers = len(crowd.seconds)
        if crowd.bad or not answers:
            raise SystemExit(f"{crowd.bad} bad answers of {answers}")
        p50 = percentile(crowd.seconds, 0.5) * 1e3
        return {"CPU us a request": spent / answers * 1e6, "p50 ms": p50, "requests/s": answers / took}


def compared(settings: Mapping[str, Mapping[str, Any]], load: Load = Load()) -> Any:
    """The run of an experiment: a gateway for each of ``settings``, all up at once, measured in turns."""

    async def run(scale: float) -> list[dict[str, Figures]]:
        async with contextlib.AsyncExitStack() as stack:
            backend = await stack.enter_async_context(Backend(Behaviour()))
            gateways = {
                name: await stack.enter_async_context(GatewayProcess(backend.port, **arguments))
                for name, arguments in settings.items()
            }
            return await in_rounds(list(settings), ROUNDS, lambda name: costs(gateways[name], load, scale))

    return run


def _tracing(collector: int, share: float) -> dict[str, Any]:
    endpoint = f"http://127.0.0.1:{collector}/v1/traces"
    return {"settings": {"tracing": {"endpoint": endpoint, "share": share}}}


async def _traced(scale: float) -> list[dict[str, Figures]]:
    async with Collector() as collector:
        settings: dict[str, dict[str, Any]] = {"`tracing: null`": {}}
        settings |= {f"`share: {share:g}`": _tracing(collector.port, share) for share in (0.01, 1)}
        found: list[dict[str, Figures]] = await compared(settings)(scale)
        return found


class Collector:
    """Takes spans: whatever is posted gets an empty 200, which OTLP takes for a yes."""

    async def __aenter__(self) -> Collector:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(http1.END)
                await reader.readexactly(http1.number(head, b"content-length"))
                writer.write(http1.response(b""))
        writer.close()


GUARDS = {
    "max_concurrent": 100,
    "queue": {"max_waiting": 100, "timeout": 5},
    "circuit_breaker": {"enabled": True},
    "timeout_config": {"total": 60},
}
RULE = "@request.headers.x_team = 'blue' && @request.method = 'GET'"

EXPERIMENTS = (
    Experiment(
        "protections",
        "What the protections cost",
        METHOD + "No limit is reached: this is the price of watching.",
        COLUMNS,
        compared({"none": {}, "limiter, queue, breaker and `total`": GUARDS}),
    ),
    Experiment(
        "access-log",
        "The access log",
        METHOD + "The log goes to a file on a disk.",
        COLUMNS,
        compared(
            {"`access_log: {path: FILE}`": {"log": True}, "`access_log: null`": {"settings": {"access_log": None}}}
        ),
    ),
    Experiment(
        "server-timing",
        "Server-Timing",
        METHOD,
        COLUMNS,
        compared({"`server_timing: false`": {}, "`server_timing: true`": {"server_timing": True}}),
    ),
    Experiment(
        "tracing",
        "Traces",
        METHOD + "A collector on the same machine takes the spans; its own work is not counted.",
        COLUMNS,
        _traced,
    ),
    Experiment(
        "access-rule",
        "Access rules",
        METHOD + f"The rule is `{RULE}`.",
        COLUMNS,
        compared(
            {'`access_rule: "true"`': {}, "a rule on a header and the method": {"access_rule": RULE}},
            Load(text=request("X-Team: blue")),
        ),
    ),
    Experiment(
        "client-keepalive",
        "Connections of clients",
        METHOD + "Callers whose connection was closed open another.",
        COLUMNS,
        compared(
            {
                "`keepalive_timeout: 75`": {},
                "`keepalive_timeout: 0`": {"settings": {"limits": {"keepalive_timeout": 0}}},
            }
        ),
    ),
    Experiment(
        "upstream-idle",
        "Connections to the upstream",
        "64 callers who ask 50 ms after each answer, an upstream that answers at once. With the short `idle` each "
        "request finds its connection closed and opens another.",
        COLUMNS,
        compared(
            {"`idle: 90`": {}, "`idle: 0.001`": {"timeout_config": {"idle": 0.001}}},
            Load(size=64, pause=0.05),
        ),
    ),
)
