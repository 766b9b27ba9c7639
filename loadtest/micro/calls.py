"""What a call of an action costs in processor time, against the same request by `aiohttp.ClientSession`.

    python loadtest/micro/calls.py [calls]

Both talk to one small HTTP/1.1 server in another process, over kept connections, and read the whole response; each
request has another path. Prints microseconds of processor time of this process for each call, the best of five rounds
that alternate, and the ratio: one call at a time, and eight at once. Behind them is what a call adds to the 99th
percentile of the time that its caller waits, in milliseconds, which depends on what else the machine does.

One at a time has a part of the kernel's in it that depends on whether the server sleeps already when the request comes,
which says nothing about either client: to wake it costs up to 30 us. With eight at once it never sleeps.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from itertools import count
from typing import NamedTuple

import aiohttp
import uvloop

from gateway.app import Gateway
from gateway.config import load
from gateway.ipc.calls import Asked

_ROUNDS = 5
_AT_ONCE = (1, 8)
_SERVER = """
import asyncio
HEAD = b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: 17\\r\\n\\r\\n"
RESPONSE = HEAD + b'{"login": "name"}'

class Served(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        if data.endswith(b"\\r\\n\\r\\n"):
            self.transport.write(RESPONSE)

async def main():
    server = await asyncio.get_running_loop().create_server(Served, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""
_FILE = """
listen: 127.0.0.1:0
access_log: {{path: /dev/null}}
connections:
  there:
    base_url: http://127.0.0.1:{port}
    auth: {{type: bearer, token: a-token}}
    max_concurrent: 10
    circuit_breaker: {{enabled: true}}
actions:
  get-user:
    connection: there
    path: /users/{{login}}
    parameters: [{{name: login, required: true}}]
"""


Call = Callable[[int], Awaitable[None]]


class Cost(NamedTuple):
    """Of each call: microseconds of processor time, and the 99th percentile of its milliseconds."""

    spent: float
    p99: float


async def _cost(call: Call, times: int, at_once: int) -> Cost:
    """When so many run ``at_once``."""
    numbers = count()
    waits: list[float] = []

    async def caller() -> None:
        for _ in range(times // at_once):
            since = time.perf_counter()
            await call(next(numbers))
            waits.append(time.perf_counter() - since)

    began = time.process_time()
    async with asyncio.TaskGroup() as callers:
        for _ in range(at_once):
            callers.create_task(caller())
    spent = time.process_time() - began
    return Cost(spent / len(waits) * 1e6, sorted(waits)[len(waits) * 99 // 100] * 1e3)


async def _measured(port: int, times: int) -> dict[int, tuple[Cost, Cost]]:
    """By how many run at once: of the calls of an action, and of those by a session."""
    async with (
        Gateway(load.parse(_FILE.format(port=port), "yaml", "calls", {})) as gateway,
        aiohttp.ClientSession() as session,
    ):

        async def by_name(number: int) -> None:
            asked = Asked("default", "get-user", {"login": f"name{number}"})
            found = await gateway.actions.call(gateway.server, asked)
            assert found["status"] == 200

        async def by_session(number: int) -> None:
            headers = {"Authorization": "Bearer a-token"}
            async with session.get(f"http://127.0.0.1:{port}/users/name{number}", headers=headers) as response:
                assert response.status == 200
                await response.read()

        best = {}
        for at_once in _AT_ONCE:
            rounds = [
                (await _cost(by_name, times, at_once), await _cost(by_session, times, at_once)) for _ in range(_ROUNDS)
            ]
            best[at_once] = _best([call for call, _ in rounds]), _best([other for _, other in rounds])
        return best


def _best(rounds: list[Cost]) -> Cost:
    return Cost(min(each.spent for each in rounds), min(each.p99 for each in rounds))


def main() -> int:
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    command = [sys.executable, "-c", _SERVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603 - our own text
        assert server.stdout is not None
        try:
            best = uvloop.run(_measured(int(server.stdout.readline()), times))
        finally:
            server.terminate()
    print("at once   call of an action   aiohttp.ClientSession   ratio   added p99")
    for at_once, (call, session) in best.items():
        figures = f"{call.spent:14.1f} us   {session.spent:18.1f} us   {call.spent / session.spent:5.2f}"
        print(f"{at_once:7}   {figures}   {call.p99 - session.p99:6.2f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
