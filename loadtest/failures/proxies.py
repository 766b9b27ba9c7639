"""The proxies that are compared: those of `make peers`, each set up for these failures as well as it can be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import aiohttp
from stage import HOST, reserved_port

from loadtest.peers.server import PeerError, Server, folder, running
from loadtest.peers.target import TARGETS, NotInstalledError, fill

T = TypeVar("T")
FOLDER = Path(__file__).with_name("targets")
NAMES = ("gateway", "haproxy", "nginx", "envoy")
GATEWAY = NAMES[0]
READY = 30.0
"""Seconds until a request through a fresh proxy is served."""


def installed(names: Iterable[str] = NAMES) -> tuple[dict[str, str], dict[str, str]]:
    """Versions of those that are here, and why the others are missing."""
    there, missing = {}, {}
    for name in names:
        try:
            TARGETS[name].required()
            there[name] = TARGETS[name].installed_version()
        except NotInstalledError as problem:
            missing[name] = str(problem)
    return there, missing


@asynccontextmanager
async def started(name: str, case: str, **values: str) -> AsyncIterator[Server]:
    """A fresh one that serves, by the templates of ``case`` with ``values``. `NotInstalledError`, `PeerError`."""
    target = replace(TARGETS[name], folder=FOLDER / case)
    with folder() as work:
        port, admin = reserved_port(), reserved_port()
        known = {"PORT": str(port), "ADMIN": str(admin), "WORK": str(work), **values}
        command = target.filled(known)
        more = {key: fill(value, known) for key, value in target.environment}
        log = "access.log" if target.log_on_stdout else "stdout.log"
        process = running(command, port, None, work, log, more, target.patience * 2)
        server = await asyncio.to_thread(process.__enter__)
        try:
            await _serves(server)
            yield server
        finally:
            await asyncio.to_thread(process.__exit__, None, None, None)


async def together(trials: Mapping[str, Coroutine[None, None, T]]) -> dict[str, T]:
    """What each gives, by its name; all at the same time. When one fails all end, with its exception."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = {name: group.create_task(trial) for name, trial in trials.items()}
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None
    return {name: task.result() for name, task in tasks.items()}


def chosen(variants: Mapping[str, tuple[str, Mapping[str, str]]], names: Iterable[str]) -> list[str]:
    """Those ``variants`` whose proxy is one of ``names``."""
    wanted = set(names)
    return [variant for variant, (name, _) in variants.items() if name in wanted]


async def each_kind(
    titles: Mapping[str, str],
    variants: Sequence[str],
    trial: Callable[[str, str, asyncio.Barrier], Coroutine[None, None, T]],
) -> dict[str, dict[str, T]]:
    """What each variant gives in each kind of trial: the kinds one after the other, the variants of one together.

    ``titles``: by kind, what is printed before it; ``trial``: takes the kind, the variant, and the barrier at which it
    waits until all proxies are ready. `PeerError`.
    """
    found: dict[str, dict[str, T]] = {}
    for kind, title in titles.items():
        print(title, flush=True)
        ready = asyncio.Barrier(len(variants))
        found[kind] = await together({variant: trial(kind, variant, ready) for variant in variants})
    return found


async def _serves(server: Server) -> None:
    end = asyncio.get_running_loop().time() + READY
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"http://{HOST}:{server.port}/") as response:
                if response.status == 200:
                    return
            if asyncio.get_running_loop().time() > end:
                raise PeerError(f"it answers {response.status} after {READY:.0f} s")
            await asyncio.sleep(0.05)
