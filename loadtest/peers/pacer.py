"""The origin that keeps time: an answer after 20 ms, and streams of 64 frames, one each 20 ms.

    python -m loadtest.peers.pacer PORT

GET /slow is answered after `DELAY`. GET /sse gets its head at once, and its frames after the next GET /go, so that all
streams of a trial run at the same time; their frames are spread over the 20 ms, as those of independent answers are.
Each frame tells when it was due on the clock of this machine (CLOCK_MONOTONIC, which is one for all processes).
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import cast

import uvloop

from loadtest.stage import HOST

DELAY = PACE = 0.02
"""Seconds before an answer, and between two frames."""
FRAMES = 64
SLOTS = 20
"""Parts of a pace: each stream writes in one of them."""
SLOW = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"X-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\n"
)
LAST = b"0\r\n\r\n"


def frame(due: float) -> bytes:
    """One chunk with one event, due at this monotonic time; the microseconds always have 16 digits."""
    event = b'data: {"due":%016d,"choices":[{"delta":{"content":"token token"}}]}\n\n' % int(due * 1e6)
    return b"%x\r\n%b\r\n" % (len(event), event)


class Wheel:
    """The streams, each in its slot; turned once a millisecond."""

    def __init__(self) -> None:
        self._waiting: dict[Answering, None] = {}
        self._slots: list[dict[Answering, int]] = [{} for _ in range(SLOTS)]

    def add(self, stream: Answering) -> None:
        self._waiting[stream] = None

    def go(self) -> None:
        for number, stream in enumerate(self._waiting):
            self._slots[number % SLOTS][stream] = FRAMES
        self._waiting = {}

    def remove(self, stream: Answering) -> None:
        self._waiting.pop(stream, None)
        for slot in self._slots:
            slot.pop(stream, None)

    async def turn(self) -> None:
        due, number = time.monotonic(), 0
        while True:
            due += PACE / SLOTS
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            number = (number + 1) % SLOTS
            self._write(self._slots[number], frame(due))

    @staticmethod
    def _write(slot: dict[Answering, int], data: bytes) -> None:
        for stream, left in list(slot.items()):
            if left > 1:
                stream.write(data)
                slot[stream] = left - 1
            else:
                stream.write(data + LAST)
                del slot[stream]


class Answering(asyncio.Protocol):
    """One connection; requests have no body and never come two at a time."""

    def __init__(self, wheel: Wheel) -> None:
        self._wheel = wheel
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class does not inherit from it
        self.write = self._transport.write

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self._data.endswith(b"\r\n\r\n"):
            return
        path, self._data = self._data.split(b" ", 2)[1], b""
        if path == b"/slow":
            asyncio.get_running_loop().call_later(DELAY, self.write, SLOW)
        elif path == b"/sse":
            self.write(HEAD)
            self._wheel.add(self)
        else:
            if path == b"/go":
                self._wheel.go()
            self.write(EMPTY)

    def connection_lost(self, exc: Exception | None) -> None:
        self._wheel.remove(self)


async def main(port: int) -> None:
    wheel = Wheel()
    await asyncio.get_running_loop().create_server(lambda: Answering(wheel), HOST, port, backlog=4096)
    await wheel.turn()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
