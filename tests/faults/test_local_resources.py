"""The gateway lacks something of its own: callers are told so, no upstream is blamed, and it recovers by itself."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from harness.answers import ok, once
from harness.client import Client, code_of
from harness.descriptors import no_descriptor_left
from harness.patience import eventually
from harness.rig import GatewayFor
from harness.upstream import Upstream

from gateway.config.records import CircuitBreaker
from gateway.policy.breaker_store import State

CONFIGURATION = """
listen: 127.0.0.1:0
access_log: null
proxies:
  - name: p
    path: /
    upstream: {upstream}
    access_rule: "true"
    circuit_breaker: {{enabled: true, failure_threshold: 2, recovery_timeout: 30}}
"""
CALLERS = 30


class Gateway:
    """A process of its own, whose limits may be changed while it runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.process: subprocess.Popen[bytes]
        self.address = ("", 0)

    @property
    def log(self) -> str:
        return (self._folder / "stderr").read_text()

    async def start(self, upstream: str) -> None:
        config = self._folder / "gateway.yaml"
        config.write_text(CONFIGURATION.format(upstream=upstream))
        with (self._folder / "stderr").open("wb") as log:
            command = [sys.executable, "-P", "-m", "gateway", "run", "--config", str(config)]
            self.process = subprocess.Popen(command, stderr=log, stdout=subprocess.DEVNULL)
        await eventually(lambda: " serves " in self.log, "a greeting", 20)
        found = re.search(r"on http://([\d.]+):(\d+)", self.log)
        assert found is not None
        self.address = (found[1], int(found[2]))

    @property
    def processor_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    made = Gateway(tmp_path)
    yield made
    made.process.send_signal(signal.SIGKILL)
    made.process.wait()


@pytest.fixture
async def callers() -> AsyncIterator[list[Client]]:
    made: list[Client] = []
    yield made
    for client in made:
        client.close()


async def ask_all(callers: list[Client]) -> list[tuple[int, str]]:
    answers = await asyncio.gather(*(client.ask() for client in callers))
    return [(told.status, code_of(told) if told.status != 200 else "") for told in answers]


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
async def test_no_descriptor_for_dials_under_load(gateway: Gateway, callers: list[Client], name: str) -> None:
    """Thirty callers, again and again: 503 for each, hardly a line in the log, and no breaker is open afterwards."""
    async with Upstream(ok()) as upstream:
        await gateway.start(f"http://{name}:{upstream.port}")
        await run_short_of_descriptors(gateway, callers)


async def run_short_of_descriptors(gateway: Gateway, callers: list[Client]) -> None:
    callers += [await Client.connect(gateway.address) for _ in range(CALLERS)]
    await asyncio.gather(*(client.ask("*", method="OPTIONS") for client in callers))  # they are accepted
    before = len(gateway.log.splitlines())
    began = time.monotonic()
    with no_descriptor_left(gateway.process.pid):
        rounds = [await ask_all(callers) for _ in range(20)]
    seconds = time.monotonic() - began
    assert {outcome for outcomes in rounds for outcome in outcomes} == {(503, "local_resources")}
    lines = gateway.log.splitlines()[before:]
    assert 1 <= len(lines) <= 1 + seconds, "and no word of a configuration that could not be read"
    assert all("EMFILE" in line for line in lines), lines
    assert await ask_all(callers) == [(200, "")] * CALLERS
    assert "breaker" not in gateway.log


async def test_a_probe_that_meets_a_shortage_decides_nothing(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """Its place is free again at once, and the next probe closes the circuit."""
    rig = await gateway_for(upstream, circuit_breaker=CircuitBreaker(True, 1, 0.05))
    caller = await rig.connect()
    upstream.behaviour = once(b"")
    assert code_of(await caller.ask()) == "upstream_reset"
    assert rig.p.endpoints[0].breaker.state is State.OPEN
    upstream.behaviour = ok()
    await eventually(lambda: rig.p.endpoints[0].breaker.until_probe() == 0.0, "it may be tried")
    with no_descriptor_left():
        for _ in range(3):
            assert code_of(await caller.ask()) == "local_resources"
    assert (rig.p.endpoints[0].breaker.state, rig.p.endpoints[0].breaker.probes) == (State.HALF_OPEN, 0)
    assert (await caller.ask()).status == 200
    assert rig.p.endpoints[0].breaker.state is State.CLOSED


async def test_no_descriptor_for_new_clients(gateway: Gateway, callers: list[Client]) -> None:
    """Neither does the process spin, nor does its log fill, nor is the listener lost."""
    await gateway.start("http://127.0.0.1:1")
    with no_descriptor_left(gateway.process.pid):
        before = gateway.processor_seconds
        callers += [await Client.connect(gateway.address) for _ in range(CALLERS)]
        await asyncio.sleep(1.5)  # the time in which it would spin
        assert gateway.processor_seconds - before < 0.5
    assert len(gateway.log.splitlines()) < 8, gateway.log
    callers.append(await Client.connect(gateway.address))
    for client in callers:  # those that waited for a descriptor too
        assert code_of(await client.ask()) in ("dial_failed", "breaker_open")
