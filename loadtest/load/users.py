"""Kinds of users for the scenarios, inside locust: who keeps a schedule, who asks again and again, who obeys.

A user with a schedule means to ask at fixed moments. When an answer is slow the next requests are not left out but
late, and their latency counts from when they were meant (else slow moments hide themselves: "coordinated omission").
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable
from pathlib import Path

import gevent
from locust import User, events, task
from locust.env import Environment

from load.plan import given
from load.record import Record
from load.wire import Answer, LateError, Wire

RECORD = Record()
GOLDEN = 0.6180339887498949
"""Multiples of it, modulo 1, are spread evenly for any count of them (Weyl's sequence)."""
_number = itertools.count()


@events.init.add_listener
def _look_at_the_clock(**_: object) -> None:
    """gevent counts timers from when its loop last looked at the clock: for the run time, before all the imports."""
    gevent.get_hub().loop.update_now()


@events.quitting.add_listener
def _save(**_: object) -> None:
    RECORD.save(Path(given().record))


class Client(User):
    """A user with one connection to the gateway. ``random`` is its own, and the same in each run of one seed."""

    abstract = True

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.plan = given()
        self.number = next(_number)
        self.random = random.Random(self.plan.seed * 1_000_003 + self.number)  # noqa: S311 - a schedule, not a secret
        self.wire = Wire(self.plan.port)

    def timed(self, kind: str, intended: float, act: Callable[[], Answer], wire: Wire | None = None) -> Answer | None:
        """Do ``act`` on ``wire`` (None: the user's own) within the client's patience, and record it under ``kind``.

        None when no answer came.
        """
        began = time.monotonic()
        answer: Answer | None = None
        failure: Exception | None = None
        (wire or self.wire).deadline = intended + self.plan.patience
        try:
            answer = act()
            outcome = str(answer.status)
        except LateError as late:
            outcome, failure = "timeout", late
        except OSError as lost:
            outcome, failure = "reset", lost
        self.told(kind, outcome, intended, began, failure)
        return answer

    def told(self, kind: str, outcome: str, intended: float, began: float, failure: Exception | None = None) -> None:
        """Record what became of a request that ends now; locust's own page shows the time from its real start."""
        ended = time.monotonic()
        RECORD.add(kind, outcome, intended, began, ended)
        if failure is None and outcome[0] in "45":
            failure = RuntimeError(outcome)
        self.environment.events.request.fire(
            request_type=kind,
            name=outcome,
            response_time=(ended - began) * 1e3,
            response_length=0,
            exception=failure,
            context={},
        )


class Scheduled(Client):
    """Asks at fixed moments, the plan's `period` apart; all users together make an even stream of arrivals."""

    abstract = True

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.period = self.plan.period
        """Seconds between two requests; a subclass may have another one before `on_start`."""

    def on_start(self) -> None:
        self.intended = time.monotonic() + (self.number * GOLDEN % 1.0) * self.period

    @task
    def turn(self) -> None:
        """Wait for the next moment, and use it."""
        pause = self.intended - time.monotonic()
        if pause > 0:
            gevent.sleep(pause)
        intended, self.intended = self.intended, self.intended + self.period
        self.act(intended)

    def act(self, intended: float) -> None:
        self.timed("answer", intended, lambda: self.wire.ask("/answer"))


class Arrivals(Scheduled):
    """The plain one: a small GET at each moment."""


class Waiting(Client):
    """Asks again as soon as an answer is there."""

    abstract = True

    @task
    def turn(self) -> None:
        self.act(time.monotonic())

    def act(self, intended: float) -> None:
        if self.timed("answer", intended, lambda: self.wire.ask("/answer")) is None:
            gevent.sleep(0.1)
