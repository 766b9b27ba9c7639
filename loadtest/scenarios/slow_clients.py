"""Slow readers, slow senders, and heads that never end, beside clients who behave."""

from __future__ import annotations

import time

import gevent
from load import pictures, promises
from load.scenario import Criterion, Scenario, Size
from load.users import Scheduled
from load.variant import Variant
from load.wire import Wire
from work import Behaviour

__all__ = ["Anybody"]

HEADER_TIMEOUT = 2.0
MEGABYTE = 1 << 20
BODY = 64 * 1024
STEPS = 20
"""Pieces of a slow body, one each `PAUSE` seconds."""
PAUSE = 0.1
HEAD, READ, SEND = "endless head", "slow reader", "slow sender"


class Anybody(Scheduled):
    """Of ten users one sends a head that never ends, one reads slowly, one sends slowly, and seven are quick."""

    def act(self, intended: float) -> None:
        slow = {0: (HEAD, self._endless_head), 1: (READ, self._slow_reader), 2: (SEND, self._slow_sender)}
        if self.number % 10 not in slow:
            super().act(intended)
            return
        kind, way = slow[self.number % 10]
        began = time.monotonic()
        self.wire.deadline = began + self.plan.patience
        try:
            outcome = way(began)
        except OSError:
            outcome = "reset"
        self.told(kind, outcome, began, began)
        self.intended = max(self.intended, time.monotonic())

    def _endless_head(self, began: float) -> str:
        """200 when the gateway put an end to it in time."""
        self.wire.push(b"GET /answer HTTP/1.1\r\nHost: load.test\r\nX-Long: ")
        while time.monotonic() - began < HEADER_TIMEOUT - 0.5:
            self.wire.push(b"a")
            gevent.sleep(PAUSE)
        head, _ = self.wire.head()
        self.wire.close()
        in_time = time.monotonic() - began < HEADER_TIMEOUT + 1.0
        return "200" if in_time and head[9:12] == b"408" else "let be"

    def _slow_reader(self, _: float) -> str:
        """200 for a megabyte that came whole."""
        wire = Wire(self.plan.port, receive_buffer=32 * 1024)
        wire.deadline = self.wire.deadline
        wire.send(f"/bytes?n={MEGABYTE}")
        head, body = wire.head()
        got = len(body)
        while got < MEGABYTE:
            gevent.sleep(PAUSE / 4)
            got += len(wire.receive(BODY // 4))
        wire.close()
        return head[9:12].decode()

    def _slow_sender(self, _: float) -> str:
        piece = bytes(BODY // STEPS)
        self.wire.push(b"POST /answer HTTP/1.1\r\nHost: load.test\r\nContent-Length: %d\r\n\r\n" % (len(piece) * STEPS))
        for _ in range(STEPS):
            self.wire.push(piece)
            gevent.sleep(PAUSE)
        return str(self.wire.answer().status)


def variants(size: Size) -> tuple[Variant, ...]:
    """Seven tenths of the rate are small requests by a schedule; the slow ones take as long as they take."""
    users = max(10, int(size.rate / 4))
    sidecar = Behaviour(capacity=1000, median=0.02)
    limits = {"header_timeout": HEADER_TIMEOUT, "body_timeout": 2}
    return (
        Variant(
            "slow", "Anybody", users, size.seconds, size.rate, {"max_concurrent": 500}, sidecar, limits, patience=20.0
        ),
    )


def criteria(size: Size) -> tuple[Criterion, ...]:
    return (
        promises.all_good("slow"),
        promises.p99("slow", 50),
        promises.share_good("slow", 99, HEAD),
        promises.share_good("slow", 99, READ),
        promises.share_good("slow", 99, SEND),
        promises.memory("slow", 6),
    )


SCENARIO = Scenario(
    name="slow-clients",
    sentence="slow readers, slow senders and endless heads beside clients who behave",
    story=(
        "Of ten users one drips the head of a request (good is here: the gateway answers 408 in time), one reads a "
        "megabyte slowly, one sends its body slowly. The other seven must not notice."
    ),
    seconds=60,
    rate=400,
    variants=variants,
    criteria=criteria,
    charts=(pictures.latency("slow", bound=50), pictures.crowd("slow"), pictures.memory("slow")),
)
