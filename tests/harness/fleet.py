"""A gateway with several workers: how it is started, its processes, its figures, and callers that note each failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from stage import command_line

from harness.answers import ok
from harness.deployment import START, Deployment
from harness.patience import eventually
from harness.upstream import Upstream


def proxies(upstream: Upstream, name: str = "web") -> str:
    # The upstream of tests closes connections that are idle for 3 s; a POST that meets that fails rightly.
    settings = "access_rule: 'true', timeout_config: {idle: 1}"
    return f"[{{name: {name}, path: /{name}, upstream: '{upstream.url}', {settings}}}]"


def several(folder: Path, upstream: Upstream, number: int = 2, **options: str) -> Deployment:
    upstream.behaviour = ok()
    return Deployment(folder, proxies=proxies(upstream), more=f"workers: {number}", **options)


def pids(gateway: Deployment) -> dict[int, int]:
    """The processes of the workers, by number: the newest of each."""
    found = {}
    for pid in gateway.pids("worker"):
        _, _, arguments = command_line(pid).partition(b"gateway.workers.worker\0")
        if arguments:  # it has not ended since
            found[int(arguments.split(b"\0")[0])] = pid
    return found


async def alone(gateway: Deployment, path: str = "/web") -> int:
    """The status of a request on a connection of its own."""
    patience = aiohttp.ClientTimeout(total=START)
    async with aiohttp.ClientSession(timeout=patience) as session, session.get(gateway.url + path) as response:
        await response.read()
        return response.status


async def metrics(gateway: Deployment) -> dict[tuple[str, str], float]:
    """Values by name and labels (``key=value``, with commas)."""
    headers = {"Authorization": f"Bearer {gateway.token}"}
    async with gateway.session.get(f"{gateway.admin}/api/gateway/metrics", headers=headers) as response:
        text = await response.text()
    return {
        (sample.name, ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def requests(gateway: Deployment) -> float:
    return sum(value for (name, _), value in (await metrics(gateway)).items() if name == "gateway_requests_total")


@asynccontextmanager
async def load(
    gateway: Deployment, callers: int = 6, *, keep_alive: bool = True, pace: float = 0.0
) -> AsyncIterator[list[object]]:
    """Callers that ask again after each response and ``pace`` seconds; every outcome that is not 200 is in the list."""
    failed: list[object] = []
    stopping = asyncio.Event()
    good = 0

    async def call() -> None:
        nonlocal good
        connector = aiohttp.TCPConnector(force_close=not keep_alive)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=START)) as session:
            while not stopping.is_set():
                try:
                    async with session.post(gateway.url + "/web", data=b"x") as response:  # aiohttp repeats no POST
                        await response.read()
                        if response.status == 200:
                            good += 1
                        else:
                            failed.append((response.status, response.headers.get("X-Gateway-Reason")))
                except aiohttp.ClientError as error:
                    failed.append(error)
                await asyncio.sleep(pace)

    tasks = [asyncio.create_task(call()) for _ in range(callers)]
    try:
        await eventually(lambda: good > 20, "traffic", 20)
        yield failed
    finally:
        stopping.set()
        await asyncio.gather(*tasks)


async def restarted(gateway: Deployment, before: dict[int, int]) -> None:
    """Wait until each worker is another process, and the old ones have ended."""

    def over() -> bool:
        now = pids(gateway)
        ended = all(not Path(f"/proc/{pid}").exists() for pid in before.values())
        return ended and now.keys() == before.keys()

    await eventually(over, "the restart", START)
