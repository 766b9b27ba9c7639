"""What a gateway needs: memory for its connections, requests and proxies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from experiments.backend import Backend, Behaviour
from experiments.callers import Line, dial, request
from experiments.trial import Column, Experiment, Figures, in_rounds
from stage import HOST, GatewayProcess, until

ROUNDS = 2
MANY = 1000
PROXIES = 500
KIB = 1024.0
"""Of these `GatewayProcess.memory` counts 1024."""


@asynccontextmanager
async def lines(port: int, count: int) -> AsyncIterator[list[Line]]:
    opened = [await dial(port) for _ in range(count)]
    try:
        yield opened
    finally:
        for line in opened:
            line.transport.abort()


async def idle(scale: float) -> float:
    """KiB of a connection that has had one answer and waits."""
    async with Backend(Behaviour()) as backend, GatewayProcess(backend.port) as gateway:
        return await _growth(gateway, int(MANY * scale))


async def running(scale: float) -> float:
    """KiB of a request that waits for its answer, with its two connections."""
    async with Backend(Behaviour(dead=True)) as backend, GatewayProcess(backend.port) as gateway:
        return await _growth(gateway, int(MANY * scale), backend)


async def _growth(gateway: GatewayProcess, count: int, backend: Backend | None = None) -> float:
    async with lines(gateway.port, 1):
        before = gateway.memory()[1]
        async with lines(gateway.port, count) as opened:
            answers = [line.ask(request()) for line in opened]
            if backend is None:
                await until(lambda: all(answer.done() for answer in answers), 20)
            else:
                await until(lambda: backend.inside == count, 20)
            return (gateway.memory()[1] - before) / count * KIB


async def proxies(scale: float) -> float:
    """KiB of a proxy with every protection, without traffic."""
    count = int(PROXIES * scale)
    many = [
        {
            "name": f"proxy-{number}",
            "path": f"/{number}",
            "upstream": f"http://{HOST}:9",
            "max_concurrent": 5,
            "queue": {"max_waiting": 5, "timeout": 5},
            "circuit_breaker": {"enabled": True},
        }
        for number in range(count + 1)
    ]
    memory = []
    for some in (many[:1], many):
        async with GatewayProcess(9, settings={"proxies": some}) as gateway:
            memory.append(gateway.memory()[1])
    return (memory[1] - memory[0]) / count * KIB


async def start(_: float) -> float:
    """KiB of the process that serves, with one proxy."""
    async with GatewayProcess(9) as gateway:
        return gateway.memory()[1] * KIB


NEEDS = {
    "the process, with one proxy": start,
    "an idle connection of a client": idle,
    "a request that waits for its answer": running,
    "a proxy with every protection": proxies,
}


async def measured(scale: float) -> list[dict[str, Figures]]:
    async def turn(name: str) -> Figures:
        return {"KiB": await NEEDS[name](scale)}

    return await in_rounds(list(NEEDS), ROUNDS, turn)


EXPERIMENTS = (
    Experiment(
        "memory",
        "Memory",
        f"Proportional set size of the serving process; {MANY} connections, {MANY} requests, {PROXIES} proxies.",
        (Column("KiB", 1),),
        measured,
    ),
)
