"""How evenly the kernel spreads connections of callers over the workers of one gateway."""

from __future__ import annotations

import asyncio
import socket

import http1
from stage import HOST, GatewayProcess, listener, port_of, table, until

WORKERS = 4
ROUNDS = 5
UNEVEN = 2.0
"""The most that one worker may have, by what another has."""


async def spread(connections: int) -> bool:
    """Open ``connections`` that stay, in `ROUNDS` rounds, each on a gateway of its own ports."""
    loop, upstream = asyncio.get_running_loop(), listener()
    server = await loop.create_server(_Answering, sock=upstream)
    rows: list[tuple[str, ...]] = [("round", *(f"worker {slot}" for slot in range(WORKERS)), "most / least")]
    worst = 0.0
    async with GatewayProcess(port_of(upstream), admin=True, settings={"workers": WORKERS}) as gateway:
        workers = gateway.workers()
        for number in range(1, ROUNDS + 1):
            callers = [await _asked(gateway.port) for _ in range(connections)]
            held = [gateway.callers(pid) for pid in workers]
            uneven = max(held) / max(1, min(held))
            worst = max(worst, uneven)
            rows.append((f"{number}", *map(str, held), f"{uneven:.2f}"))
            for caller in callers:
                caller.close()
            await until(lambda: not any(map(gateway.callers, workers)), every=0.05)
    server.close()
    table(f"spread: {connections} connections over {WORKERS} workers, bound {UNEVEN}", rows)
    return 0.0 < worst <= UNEVEN


class _Answering(http1.Answering):
    def asked(self, target: bytes) -> None:
        self.transport.write(http1.response(b"ok"))


async def _asked(port: int) -> socket.socket:
    """A connection on which one request was served: its worker has accepted it."""
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setblocking(False)
    await loop.sock_connect(sock, (HOST, port))
    await loop.sock_sendall(sock, http1.request("/", "soak.test"))
    data = b""
    while not http1.whole(data):
        more = await loop.sock_recv(sock, 4096)
        if not more:
            raise ConnectionError("ended before the response was whole")
        data += more
    return sock
