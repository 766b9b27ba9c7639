"""Workers are replaced, configurations are reloaded, all programs are upgraded, and the control process is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from load import pictures, promises
from load.findings import Findings
from load.scenario import Criterion, Scenario, Size
from load.users import Scheduled
from load.variant import Disturbed, Variant
from stage import GatewayProcess, command
from work import Behaviour

__all__ = ["Mixed"]

SECONDS = 480.0
RESTARTS, RELOADS, UPGRADES, CONTROLS, DEATHS = 20, 50, 5, 5, 3
"""How often each thing happens in a run of `SECONDS`; in a shorter one less often."""
RESTARTED, RELOADED, UPGRADED, BACK = "restarted", "reloaded", "upgraded", "control process back"
KILLED, LOGGED = "killed", "logged"
API = "/api/gateway"
"""What the command adds to the address of the admin listener."""
PATIENCE = 90.0
"""Seconds for a restart or a reload on a busy machine."""
BETWEEN = 5.0
"""Seconds from a worker that is back to the next death."""
SHORTER = 0.6
"""Two workers are replaced in less time than four."""
ENDED = "ended (signal SIGKILL); it is started again"

ANSWER, PAUSING, FRESH, STREAM = "answer", "pausing", "fresh", "stream"
KINDS = {ANSWER: 48, PAUSING: 16, FRESH: 16, STREAM: 8}
"""How many clients of each kind there are: 64 keep their connections between requests."""
PAUSE = 7.0
"""Seconds between two requests of a connection that pauses: longer than any grace of a worker that leaves."""
TOKENS, INTERVAL = 20, 0.1
LIMIT = 24
"""`max_concurrent`: less than what sometimes wants in, so that the queue of several processes is used."""


class Mixed(Scheduled):
    """By its number one of `KINDS`: it asks often or seldom on one connection, or each time on a new one, or for a
    stream of tokens."""

    def on_start(self) -> None:
        self.kind = [kind for kind, count in KINDS.items() for _ in range(count)][self.number]
        if self.kind == PAUSING:
            self.period = PAUSE + self.random.random()
        elif self.kind == STREAM:
            self.period = TOKENS * INTERVAL * 1.5
        super().on_start()

    def act(self, intended: float) -> None:
        path = f"/tokens?n={TOKENS}&interval={INTERVAL}" if self.kind == STREAM else "/answer"
        self.timed(self.kind, intended, lambda: self.wire.ask(path))
        if self.kind == FRESH:
            self.wire.close()


async def eventually(stand: Disturbed, condition: Callable[[], Awaitable[bool]]) -> None:
    """TimeoutError, with the end of the gateway's log, after `PATIENCE`."""
    end = time.monotonic() + PATIENCE
    while not await condition():
        if time.monotonic() > end:
            raise TimeoutError(stand.gateway.said()[-4000:])
        await asyncio.sleep(0.05)


async def workers(stand: Disturbed) -> list[dict[str, Any]]:
    return list((await stand.api("GET", "/workers"))["items"])


def exists(pid: int) -> bool:
    """Also when it has ended and its parent has not noticed yet: until then the supervisor ignores another restart."""
    return Path(f"/proc/{pid}").exists()


async def restart(stand: Disturbed, number: int) -> None:
    """By a signal and by the API, in turns; until all that was before has ended."""
    before = set(stand.gateway.workers())

    async def over() -> bool:
        return not any(map(exists, before)) and len(stand.gateway.workers()) == len(before)

    if number % 2:
        stand.gateway.signal(signal.SIGUSR2)
    else:
        await stand.api("POST", "/workers/restart")
    await eventually(stand, over)


async def reload(stand: Disturbed, number: int) -> None:
    """Until all workers serve the next configuration."""
    before = max(each["generation"] for each in await workers(stand))

    async def over() -> bool:
        return all(each["generation"] > before for each in await workers(stand))

    stand.gateway.reload(max_concurrent=LIMIT + (number + 1) % 2)  # another one: what says the same is no reload
    await eventually(stand, over)


def begin_upgrade(gateway: GatewayProcess) -> None:
    """By the command, as an operator does. CalledProcessError when it is refused."""
    with NamedTemporaryFile("w", prefix="gateway-load-") as file:  # a token on the command line is seen by all users
        file.write(gateway.token("--superuser"))
        file.flush()
        command("upgrade", "--server", gateway.api.removesuffix(API), "--token-file", file.name)


async def upgrade(stand: Disturbed, number: int) -> None:
    """To the version that is installed, which is the same one: until all processes but the supervisor are others."""
    before, count = {stand.gateway.control, *stand.gateway.workers()}, len(stand.gateway.workers())

    async def over() -> bool:
        return not any(map(exists, before)) and len(stand.gateway.workers()) == count

    await asyncio.to_thread(begin_upgrade, stand.gateway)
    await eventually(stand, over)
    await stand.gateway.ready(stand.session)


async def kill_control(stand: Disturbed, number: int) -> None:
    """Until another one is ready."""
    os.kill(stand.gateway.control, signal.SIGKILL)
    await stand.gateway.ready(stand.session)


def times(count: int, seconds: float) -> int:
    """How often in a run of ``seconds`` what happens ``count`` times in one of `SECONDS`."""
    return max(1, min(count, int(count * seconds / SECONDS)))


def operate(seconds: float) -> Callable[[Disturbed], Awaitable[None]]:
    """Everything that must fail no request, one after the other, as often as in a run of ``seconds``."""
    steps: tuple[tuple[Callable[[Disturbed, int], Awaitable[None]], int, str], ...] = (
        (restart, RESTARTS, RESTARTED),
        (reload, RELOADS, RELOADED),
        (upgrade, UPGRADES, UPGRADED),
        (kill_control, CONTROLS, BACK),
    )

    async def act(stand: Disturbed) -> None:
        for step, count, what in steps:
            for number in range(times(count, seconds)):
                began = time.monotonic()
                await step(stand, number)
                stand.note(what, time.monotonic() - began)

    return act


async def kill(stand: Disturbed) -> None:
    """Workers, one after the other, each when the one before is back."""
    for number in range(1, DEATHS + 1):
        await asyncio.sleep(BETWEEN)
        items = await workers(stand)
        await kill_worker(stand, items[number % len(items)])
    stand.note(LOGGED, count=stand.gateway.said().count(ENDED))


async def kill_worker(stand: Disturbed, victim: dict[str, Any]) -> None:
    async def over() -> bool:
        items = await workers(stand)
        return all(each["state"] == "serving" and each["pid"] != victim["pid"] for each in items)

    os.kill(victim["pid"], signal.SIGSTOP)  # so that it accepts no more while its connections are counted
    inside = stand.gateway.callers(victim["pid"])
    os.kill(victim["pid"], signal.SIGKILL)
    stand.note(KILLED, count=inside)
    await eventually(stand, over)


def variants(size: Size) -> tuple[Variant, ...]:
    proxy = {
        "max_concurrent": LIMIT,
        "queue": {"max_waiting": 400, "timeout": 20},
        "circuit_breaker": {"enabled": True},
    }
    sidecar = Behaviour(capacity=100, median=0.02)

    def made(name: str, workers: int, seconds: float, disturb: Callable[[Disturbed], Awaitable[None]]) -> Variant:
        settings = {"workers": workers, "drain_timeout": 30}
        users = sum(KINDS.values())
        return Variant(name, "Mixed", users, seconds, size.rate, proxy, sidecar, settings, 30.0, disturb=disturb)

    return (
        made("four", 4, size.seconds, operate(size.seconds)),
        made("two", 2, size.seconds * SHORTER, operate(size.seconds)),
        made("killed", 4, max(60.0, size.seconds / 6), kill),
    )


def happened(run: str, what: str, count: int, size: Size) -> Criterion:
    return Criterion(
        f"Times: {what} ({run})",
        "",
        lambda findings: len(findings[run].marked(what)),
        "each when the one before was complete",
        at_least=times(count, size.seconds),
    )


def failed(findings: Findings) -> float:
    return sum(findings["killed"].bad(kind) for kind in KINDS)


def spared(findings: Findings) -> float:
    """How many more requests could have failed: those of each connection in a killed worker."""
    return sum(mark.count for mark in findings["killed"].marked(KILLED)) - failed(findings)


def logged(findings: Findings) -> float:
    return sum(mark.count for mark in findings["killed"].marked(LOGGED))


def criteria(size: Size) -> tuple[Criterion, ...]:
    undisturbed = tuple(promises.all_good(run, kind) for run in ("four", "two") for kind in KINDS)
    steps = ((RESTARTED, RESTARTS), (RELOADED, RELOADS), (UPGRADED, UPGRADES), (BACK, CONTROLS))
    return (
        *undisturbed,
        *(happened(run, what, count, size) for run in ("four", "two") for what, count in steps),
        promises.inside("four", LIMIT + 1),
        Criterion("Workers killed", "", lambda f: len(f["killed"].marked(KILLED)), "with SIGKILL", at_least=DEATHS),
        Criterion(
            "Requests that did not fail, of those that killed workers could take with them",
            "",
            spared,
            "connections inside the killed workers, less the requests without a good answer, of all kinds",
            at_least=0,
        ),
        Criterion("Deaths that the log names", "", logged, "lines of the supervisor", at_least=DEATHS, at_most=DEATHS),
        promises.inside("killed", LIMIT),
    )


SCENARIO = Scenario(
    name="restarts",
    sentence="20 restarts, 50 reloads, 5 upgrades, 5 kills of the control process, dead workers, under keep-alive load",
    story=(
        "64 clients keep their connections, a quarter of them silent for seven seconds between two requests; beside "
        "them each request of others has a new connection, and streams of two seconds run. Workers are replaced, the "
        "configuration is reloaded, `gateway upgrade` replaces all programs, the control process is killed: no request "
        "may fail, and no connection may end without `Connection: close` in the response before. Then workers are "
        "killed: only what was inside them fails."
    ),
    seconds=SECONDS,
    rate=150,
    variants=variants,
    criteria=criteria,
    charts=(
        pictures.latency("four"),
        pictures.latency("two"),
        pictures.outcomes("four", "reset", "503"),
        pictures.outcomes("two", "reset", "503"),
        pictures.outcomes("killed", "reset", "503"),
    ),
)
