"""A run: each attack at each proxy that is installed, in front of the same upstream."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

from loadtest.peers import server as peers
from loadtest.peers.target import TARGETS, NotInstalledError
from loadtest.stage import HOST
from oracles.attack import Attack
from oracles.caller import SILENT, attacked
from oracles.seen import DIED, Verdict, verdict
from oracles.upstream import ScriptedUpstream

GATEWAY = "gateway"
ORACLES = ("nginx", "haproxy", "envoy", "caddy")
FAILURES = 100
"""After which a breaker opens, more than there are in a lane: each attack has to meet an upstream that is in use."""
STARTING = asyncio.Semaphore(3)
"""Of servers that start at a time: each is to come up within its time on two cores."""
LISTENING = 20.0
"""Seconds from the listener without TLS to the one with it."""
Table = dict[str, dict[str, Verdict]]
"""By the key of the attack, then the name of the proxy."""


def installed(names: Sequence[str] = ORACLES) -> dict[str, str]:
    """The version of each that is here."""
    found = {}
    for name in names:
        try:
            found[name] = TARGETS[name].installed_version()
        except NotInstalledError:
            continue
    return found


async def table(attacks: Sequence[Attack], names: Sequence[str], silent: float = SILENT) -> Table:
    """``silent``: as `oracles.caller.SILENT`. `PeerError` when a proxy does not start."""
    found: Table = {attack.key: {} for attack in attacks}
    lanes = [(name, lane) for name in names for lane in _lanes(attacks)]
    await asyncio.gather(*(_lane(name, lane, found, silent) for name, lane in lanes))
    return found


def _lanes(attacks: Sequence[Attack]) -> list[list[Attack]]:
    """By how the upstream is reached, because that is in the configuration of a proxy; and by what the caller speaks,
    to have two lanes at a time where most of them are."""
    kinds = dict.fromkeys((attack.upstream, attack.caller) for attack in attacks)
    return [[attack for attack in attacks if (attack.upstream, attack.caller) == kind] for kind in kinds]


async def _lane(name: str, attacks: Sequence[Attack], found: Table, silent: float) -> None:
    left = list(attacks)
    while left:
        async with _behind(name, left[0].upstream) as (server, upstream):
            while left:
                attack = left.pop(0)
                seen = await attacked(attack, server, upstream, silent)
                if not await _alive(server.port):
                    found[attack.key][name] = DIED
                    break  # the next attack meets a new process
                found[attack.key][name] = verdict(attack, seen)


async def _alive(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.transport.abort()
    return True


def _started(peer: AbstractContextManager[peers.Server]) -> peers.Server:
    """The peer, when both of its listeners take connections. `PeerError`."""
    server = peer.__enter__()
    end = time.monotonic() + LISTENING
    while time.monotonic() < end:
        try:
            socket.create_connection((HOST, server.ports["https"]), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return server
    raise peers.PeerError(f"it did not listen with TLS within {LISTENING:.0f} s")


@asynccontextmanager
async def _behind(name: str, scheme: str) -> AsyncIterator[tuple[peers.Server, ScriptedUpstream]]:
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(peers.folder())
        upstream = await stack.enter_async_context(ScriptedUpstream(Path(folder)))
        peer = peers.peer(TARGETS[name], upstream.server, scheme, failures=FAILURES, measured=False)
        try:
            async with STARTING:
                server = await asyncio.to_thread(_started, peer)
            yield server, upstream
        finally:
            await asyncio.to_thread(peer.__exit__, None, None, None)
