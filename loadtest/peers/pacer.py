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

import uvloop

from loadtest.http1 import LAST, Answering, chunk, response
from loadtest.stage import HOST

DELAY = PACE = 0.02
"""Seconds before an answer, and between two frames."""
FRAMES = 64
SLOTS = 20
"""Parts of a pace: each stream writes in one of them."""
SLOW = response(b"{}", content_type=b"application/json")
EMPTY = response(b"")
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"X-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\n"
)


def frame(due: float) -> bytes:
    """One chunk with one event, due at this monotonic time; the microseconds always have 16 digits."""
    event = b'data: {"due":%016d,"choices":[{"delta":{"content":"token token"}}]}\n\n' % int(due * 1e6)
    return chunk(event)


class Wheel:
    """The streams, each in its slot; turned once a millisecond."""

    def __init__(self) -> None:
        self._waiting: dict[Paced, None] = {}
        self._slots: list[dict[Paced, int]] = [{} for _ in range(SLOTS)]

    def add(self, stream: Paced) -> None:
        self._waiting[stream] = None

    def go(self) -> None:
        for number, stream in enumerate(self._waiting):
            self._slots[number % SLOTS][stream] = FRAMES
        self._waiting = {}

    def remove(self, stream: Paced) -> None:
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
    def _write(slot: dict[Paced, int], data: bytes) -> None:
        for stream, left in list(slot.items()):
            if left > 1:
                stream.write(data)
                slot[stream] = left - 1
            else:
                stream.write(data + LAST)
                del slot[stream]


class Paced(Answering):
    """One connection."""

    def __init__(self, wheel: Wheel) -> None:
        super().__init__()
        self._wheel = wheel

    def opened(self) -> None:
        self.write = self.transport.write

    def asked(self, target: bytes) -> None:
        if target == b"/slow":
            asyncio.get_running_loop().call_later(DELAY, self.write, SLOW)
        elif target == b"/sse":
            self.write(HEAD)
            self._wheel.add(self)
        else:
            if target == b"/go":
                self._wheel.go()
            self.write(EMPTY)

    def connection_lost(self, exc: Exception | None) -> None:
        self._wheel.remove(self)


async def main(port: int) -> None:
    wheel = Wheel()
    await asyncio.get_running_loop().create_server(lambda: Paced(wheel), HOST, port, backlog=4096)
    await wheel.turn()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
