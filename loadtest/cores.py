"""What several workers cost and give: CPU of the workers for each request, and requests a second."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import statistics
import time

import http1
from stage import HOST, GatewayProcess, listener, port_of, table
from wrk_output import parsed

NUMBERS = (1, 2, 4)
ROUNDS = 5
CONNECTIONS = 64
DEARER = 1.05
"""The most that a request may cost the CPU with several workers, by its cost with one; as a median of the rounds."""
GUARDS = {
    "max_concurrent": 1000,
    "queue": {"max_waiting": 100, "timeout": 5},
    "circuit_breaker": {"enabled": True},
    "timeout_config": {"total": 60},
}


async def cores(seconds: int) -> bool:
    """Load each number of workers for ``seconds`` in turns, `ROUNDS` times; all gateways are up, one is loaded.

    The load generator and the endpoint run on the same cores. So requests a second say less than the capacity, which is
    the number of workers by the CPU of a request.
    """
    loop, upstream = asyncio.get_running_loop(), listener()
    server = await loop.create_server(_Answering, sock=upstream)
    found: dict[int, list[tuple[float, float]]] = {number: [] for number in NUMBERS}
    async with contextlib.AsyncExitStack() as stack:
        gateways = {
            number: await stack.enter_async_context(
                GatewayProcess(port_of(upstream), admin=True, settings={"workers": number}, **GUARDS)
            )
            for number in NUMBERS
        }
        for turn in range(ROUNDS):
            for number in NUMBERS[turn % len(NUMBERS) :] + NUMBERS[: turn % len(NUMBERS)]:
                found[number].append(await _loaded(gateways[number], seconds))
    server.close()
    rows: list[tuple[str, ...]] = [("workers", "CPU us a request", "by one", "requests/s", "by one", "capacity/s")]
    dearest = 0.0
    for number in NUMBERS:
        costs, rates = zip(*found[number], strict=True)
        dearer, more = (_by_one([row[at] for row in found[number]], [row[at] for row in found[1]]) for at in (0, 1))
        cost = statistics.median(costs)
        dearest = max(dearest, dearer)
        rate, capacity = f"{statistics.median(rates):.0f}", f"{number / cost * 1e6:.0f}"
        rows.append((f"{number}", f"{cost:.1f}", f"{dearer:.3f}", rate, f"{more:.2f}", capacity))
    table(f"workers: CPU of all for each request, bound {DEARER} by one worker", rows)
    return 0.0 < dearest <= DEARER


def _by_one(figures: list[float], of_one: list[float]) -> float:
    return statistics.median(figure / one for figure, one in zip(figures, of_one, strict=True))


async def _loaded(gateway: GatewayProcess, seconds: int) -> tuple[float, float]:
    """CPU of the workers in microseconds for each request, and requests a second."""
    program = shutil.which("wrk")
    if program is None:
        raise SystemExit("the load generator is wrk: apt-get install wrk")
    workers, before = gateway.workers(), [_cpu(pid) for pid in gateway.workers()]
    url = f"http://{HOST}:{gateway.port}/"
    process = await asyncio.create_subprocess_exec(
        program, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", url, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await asyncio.wait_for(process.communicate(), seconds + 30)
    spent = sum(map(_cpu, workers)) - sum(before)
    result = parsed(output.decode())
    if result.errors or not result.requests:
        raise SystemExit(f"{result.errors} of {result.requests} requests failed")
    return spent / result.requests * 1e6, result.requests / result.seconds


def _cpu(pid: int) -> float:
    """Seconds of CPU that a process took so far, by its own clock (Linux: clock_getcpuclockid)."""
    return time.clock_gettime((~pid << 3) | 2)


class _Answering(http1.Answering):
    def asked(self, target: bytes) -> None:
        self.transport.write(http1.response(b"ok"))
