"""What a call of an action costs in processor time, against the same request by `aiohttp.ClientSession`.

    python loadtest/micro/calls.py [calls]

Both talk to one small HTTP/1.1 server in another process, over one kept connection, and read the whole response. Prints
microseconds of processor time of this process for each call, the best of five rounds that alternate, and the ratio.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import aiohttp
import uvloop

from gateway.app import Gateway
from gateway.config import load
from gateway.ipc.calls import Asked

_ROUNDS = 5
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


async def _spent(call: Callable[[], Awaitable[None]], times: int) -> float:
    """Microseconds of processor time for each call."""
    began = time.process_time()
    for _ in range(times):
        await call()
    return (time.process_time() - began) / times * 1e6


async def _measured(port: int, times: int) -> tuple[float, float]:
    async with (
        Gateway(load.parse(_FILE.format(port=port), "yaml", "calls", {})) as gateway,
        aiohttp.ClientSession() as session,
    ):
        asked = Asked("default", "get-user", {"login": "name"})

        async def by_name() -> None:
            found = await gateway.actions.call(gateway.server, asked)
            assert found["status"] == 200

        async def by_session() -> None:
            headers = {"Authorization": "Bearer a-token"}
            async with session.get(f"http://127.0.0.1:{port}/users/name", headers=headers) as response:
                assert response.status == 200
                await response.read()

        calls, sessions = [], []
        for _ in range(_ROUNDS):
            calls.append(await _spent(by_name, times))
            sessions.append(await _spent(by_session, times))
        return min(calls), min(sessions)


def main() -> int:
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    command = [sys.executable, "-c", _SERVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603 - our own text
        assert server.stdout is not None
        try:
            call, session = uvloop.run(_measured(int(server.stdout.readline()), times))
        finally:
            server.terminate()
    print(f"call of an action       {call:7.1f} us")
    print(f"aiohttp.ClientSession   {session:7.1f} us")
    print(f"ratio                   {call / session:7.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
