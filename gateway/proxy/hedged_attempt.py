"""One of the attempts at a request that may get a second one beside the first: it has an exchange of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from gateway.core.exchange import Exchange
from gateway.core.message import UNTIL_CLOSE, ResponseHead
from gateway.core.retries import Later
from gateway.core.stream import ClientStream, Sink
from gateway.proxy.discard import Discard

_SHARED = (
    "request_id",
    "principal",
    "proxy",
    "identified",
    "opened",
    "queued",
    "deadline",
    "timed",
    "trace",
    "parent",
    "trace_id",
    "body",
    "bytes_in",
    "concurrent",
    "fallback",
    "hedge",
    "keeper",
)
"""What both attempts have of the exchange, and do not change."""
_CARRIED = ("attempt", "attempts", "quota", "retried", "shadow", "tried")
"""What an attempt goes on with, and gives back. It gives failures back once: a retry adds to them behind a response."""
_FOUND = ("breaker", "discarded", "events", "breaker_of_upstream", "grpc_status", "status", "streamed", "usage")
_BEGUN = ("committed", "commit_at", "bytes_out", "blocked")


class Judge(Protocol):
    """Decides on the responses of the attempts."""

    def begins(
        self, attempt: HedgedAttempt, head: ResponseHead, stream: ClientStream, later: Later | None
    ) -> Sink | None:
        """As `gateway.core.retries.Retries.discard`, for the response to ``attempt``."""
        ...

    def begun(self, attempt: HedgedAttempt) -> None:
        """The caller has the head of the response to ``attempt``. One that was taken may yet stall before its first
        event, not fit, or be left to the fallback."""
        ...

    @property
    def discarding(self) -> bool:
        """The response that was taken is not for the caller either, because a retry follows."""
        ...


class HedgedAttempt:
    """A `gateway.core.retries.Retries`, because an attempt asks its exchange there what becomes of a response.

    ``exchange`` is that of the attempt. It shares the caller's stream with the exchange of the request, to which
    `give_back` brings what the attempt has found.
    """

    __slots__ = (
        "_before",
        "_discard",
        "_gives_failures",
        "_judge",
        "_of",
        "decided",
        "error",
        "exchange",
        "lost",
        "over",
        "shadowed",
        "task",
        "waiting",
        "withheld",
    )

    def __init__(self, of: Exchange, judge: Judge, seconds: float = 0.0) -> None:
        """``seconds``: from the begin of the first attempt to that of this one."""
        self._of = of
        self._before = of.attempts
        self._judge = judge
        self._discard: Discard | None = None
        self.exchange = made = Exchange(of.downstream, of.request, of.start_at)
        for name in (*_SHARED, *_CARRIED):
            setattr(made, name, getattr(of, name))
        made.failures = of.failures
        self._gives_failures = True
        made.retried += seconds
        made.retries = self
        self.task: asyncio.Task[None] | None = None
        self.decided = False
        """A response came, and it is known what becomes of it."""
        self.lost = False
        """The other one has won."""
        self.over = False
        self.error: BaseException | None = None
        """What ended it; None: it runs, or a response has ended."""
        self.withheld = self.shadowed = ""
        self.waiting = False

    @property
    def tries(self) -> int:
        """How often an endpoint was asked, or a connection to one looked for: twice where the first was stale."""
        return self.exchange.attempts - self._before

    def give_back(self, attempts: int) -> None:
        """Let the exchange of the request have what this attempt has found. ``attempts``: of both."""
        made, of = self.exchange, self._of
        for name in (*_CARRIED, *_FOUND, *_BEGUN):
            setattr(of, name, getattr(made, name))
        of.attempts = attempts
        if self._gives_failures:
            of.failures = made.failures
            self._gives_failures = False

    def discard_response(self, head: ResponseHead, stream: ClientStream) -> Sink:
        """The sink of a response that is not for the caller."""
        worth = not self.lost and head.keep_alive and head.length != UNTIL_CLOSE
        self._discard = made = Discard(stream, worth=worth)
        return made

    def cut(self, reason: str = "", gone_at: float = 0.0) -> None:
        """End the attempt now. ``reason`` and ``gone_at``: of the exchange of the request, when that was cut."""
        self.exchange.reason, self.exchange.gone_at = reason, gone_at
        if self.task is not None:
            self.task.cancel()

    def lose(self) -> None:
        """End the attempt, because the other one has won. A response that is discarded is judged by its status, as one
        that came whole: it is broken off, and the attempt is not cancelled."""
        self.lost = True
        if self._discard is None:
            self.cut()
        else:
            # Not within the read of the other one, which may be on the same connection.
            asyncio.get_running_loop().call_soon(self._discard.give_up)

    def close(self) -> None:
        """Its task has ended."""
        self.over = True
        if self._discard is not None:
            self._discard.close()

    def forget(self) -> None:
        """Nothing leads from here to its exchange and back any more."""
        self.exchange.retries = self.task = None

    # -- what the attempt asks

    @property
    def replayable(self) -> bool:
        """As `Retries.replayable`: there is no body, or all of it is kept."""
        return True

    def keep(self, body: bytes) -> bool:
        raise AssertionError("the body was taken before the attempts")

    def upload(self, stream: ClientStream, on_end: Callable[[], None]) -> None:
        raise AssertionError("the body was taken before the attempts")

    @property
    def relayed(self) -> bool:
        """As `Retries.relayed`."""
        return False

    def discard(self, head: ResponseHead, stream: ClientStream, later: Later | None = None) -> Sink | None:
        """As `Retries.discard`."""
        return self._judge.begins(self, head, stream, later)

    def begun(self) -> None:
        """As `Retries.begun`."""
        self.give_back(self._of.attempts)
        self._judge.begun(self)
        if self._of.retries is not None:
            self._of.retries.begun()

    def end_attempt(self) -> bool:
        """As `Retries.end_attempt`: all of the body went out with the head."""
        return True

    @property
    def discarding(self) -> bool:
        """As `Retries.discarding`."""
        return self.lost or self._discard is not None or self._judge.discarding
