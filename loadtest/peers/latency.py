"""One connection, one request at a time: what a proxy adds when there is nothing to wait for."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from loadtest.http1 import request, whole
from loadtest.stage import HOST

WARM = 50
BLOCK = 50
"""Requests in turn before it is the other's turn: both then meet the same machine."""


class Line:
    """A keep-alive connection with requests one at a time; answers have a Content-Length or chunks."""

    def __init__(self, port: int, path: str) -> None:
        self._socket = socket.create_connection((HOST, port), 10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request = request(path, HOST)

    def ask(self) -> bytes:
        """The whole answer. ConnectionError when it ends too early."""
        self._socket.sendall(self._request)
        data = b""
        while not whole(data):
            more = self._socket.recv(65536)
            if not more:
                raise ConnectionError(f"the answer ended early: {data[:100]!r}")
            data += more
        return data

    def timed(self) -> float:
        """Seconds from the first byte sent to the last received."""
        began = time.perf_counter()
        self.ask()
        return time.perf_counter() - began

    def close(self) -> None:
        self._socket.close()


def both(direct: Callable[[], float], through: Callable[[], float], seconds: float) -> tuple[list[float], list[float]]:
    """Times of each, taken in turns for so long altogether; the first `WARM` of each do not count."""
    for _ in range(WARM):
        direct(), through()
    times: tuple[list[float], list[float]] = ([], [])
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for ask, taken in zip((direct, through), times, strict=True):
            taken += [ask() for _ in range(BLOCK)]
    return times
