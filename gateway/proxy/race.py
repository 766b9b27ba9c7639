"""The attempts at a request that may get a second one while the first one runs: when, and which response is taken.

Each attempt is a task with an exchange of its own. The response that is taken goes to the caller within the callback
that brought its head; the other attempt is cut then, and its connection is closed, or its stream reset, in the next
turn of the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from gateway.config import records
from gateway.core import hedge as words
from gateway.core.clock import Clock, monotonic
from gateway.core.exchange import Exchange
from gateway.core.layer import Handler
from gateway.core.message import ResponseHead
from gateway.core.retries import Later
from gateway.core.stream import ClientStream, Sink
from gateway.errors import GatewayError
from gateway.policy.budget import RetryBudget
from gateway.policy.hedge import ALONE, BAD, FAILED, GOOD, SECOND, START, TABLE, TAKE
from gateway.policy.latency import Latency
from gateway.policy.limiter import Limiter
from gateway.policy.machine import REFUSED
from gateway.proxy.hedged_attempt import HedgedAttempt

Alarm = Callable[[float, Callable[[], None]], asyncio.TimerHandle]
"""Calls something after so many seconds, unless its result is cancelled before."""


def _after(seconds: float, call: Callable[[], None]) -> asyncio.TimerHandle:
    return asyncio.get_running_loop().call_later(seconds, call)


@dataclass(frozen=True, slots=True)
class Means:
    """What the hedges of a route work with. ``bad``: statuses that do not win while the other attempt runs.

    ``limiter``: that of the upstream; ``limits``: it is enforced. ``imagined``: the budget of shadow mode, which leaves
    the other one to retries. ``share`` and ``burst``: of the budget.
    """

    settings: records.Hedge
    bad: Collection[int]
    budget: RetryBudget
    latency: Latency
    limiter: Limiter | None = None
    limits: bool = True
    share: float = 0.2
    burst: float = 10.0
    clock: Clock = monotonic
    alarm: Alarm = _after
    imagined: RetryBudget = field(default_factory=RetryBudget)

    @property
    def after(self) -> float:
        """Seconds until a second attempt; 0.0: that is not known yet."""
        after = self.settings.after
        return self.latency.quantile() if isinstance(after, str) else after


class Race:
    """Serves one exchange, by ``handle`` for each attempt."""

    __slots__ = (
        "_attempts",
        "_began",
        "_discards",
        "_exchange",
        "_handle",
        "_hedge",
        "_idle",
        "_means",
        "_permit",
        "_settled",
        "_shown",
        "_state",
        "_tries",
    )

    def __init__(self, exchange: Exchange, hedge: words.Hedge, means: Means, handle: Handler) -> None:
        self._exchange = exchange
        self._hedge = hedge
        self._means = means
        self._handle = handle
        self._state = ALONE
        self._attempts: list[HedgedAttempt] = []
        self._tries = exchange.attempts
        """Before these attempts."""
        self._shown: HedgedAttempt | None = None
        """The attempt that stands for the request: whose response was taken, else the last one that has failed."""
        self._discards = self._settled = False
        self._permit = REFUSED
        """Of the second attempt."""
        self._began = means.clock()
        self._idle = asyncio.get_running_loop().create_future()
        """Has a result when no attempt runs any more."""

    async def run(self) -> None:
        """Return, or raise, as the attempt that stands for the request does; by then the other one is over, too."""
        after = self._means.after
        self._start(0.0)
        timer = self._means.alarm(after, self._due) if after else None
        try:
            await self._idle
        except asyncio.CancelledError:
            if timer is not None:
                timer.cancel()  # a second attempt would outlive this
            ex = self._exchange
            running = [attempt for attempt in self._attempts if not attempt.over]
            for attempt in running:
                attempt.cut(ex.reason, ex.gone_at)
            if running:
                await asyncio.wait([attempt.task for attempt in running if attempt.task is not None])
            raise
        finally:
            if timer is not None:
                timer.cancel()
            self._settle()
        shown, self._shown = self._shown, None
        if shown is not None and shown.error is not None:
            raise shown.error

    # -- as `gateway.proxy.hedged_attempt.Judge`

    def begins(
        self, attempt: HedgedAttempt, head: ResponseHead, stream: ClientStream, later: Later | None = None
    ) -> Sink | None:
        """As `Judge.begins`."""
        attempt.decided = True
        bad = head.status in self._means.bad
        if self._move(BAD if bad else GOOD) != TAKE:
            return attempt.discard_response(head, stream)
        first = self._attempts[0]
        if not bad and (attempt is first or not first.over):
            self._note_latency()
        self._shown = attempt
        for other in self._attempts:
            if other is not attempt and not other.over:
                other.lose()
        attempt.give_back(self._made())
        retries = self._exchange.retries
        nowhere = None if retries is None else retries.discard(head, stream, later)
        self._discards = nowhere is not None
        return nowhere

    def begun(self, attempt: HedgedAttempt) -> None:
        """As `Judge.begun`."""
        self._hedge.won = attempt is not self._attempts[0]

    @property
    def discarding(self) -> bool:
        """As `Judge.discarding`."""
        return self._discards

    # -- the second attempt

    def _due(self) -> None:
        """It is time for it."""
        ex, means = self._exchange, self._means
        now = means.clock()
        if TABLE[self._state, SECOND].does != START or ex.gone_at or 0.0 < ex.deadline <= now:
            return
        self._hedge.after = now - self._began
        if means.settings.mode == "shadow":
            self._imagine()
            return
        self._hedge.withheld = self._withheld()
        if not self._hedge.withheld:
            self._move(SECOND)
            self._hedge.sent = True
            self._start(now - self._began)

    def _withheld(self) -> str:
        """Why there is none; else its permit and its token are taken."""
        means, limiter = self._means, self._means.limiter
        if limiter is not None:
            self._permit = limiter.try_acquire()
            if self._permit == REFUSED and means.limits:
                return words.PERMIT
        if means.budget.try_withdraw(means.burst):
            return ""
        self._release(sent=False)
        return words.BUDGET

    def _imagine(self) -> None:
        means, limiter = self._means, self._means.limiter
        if limiter is not None and means.limits and not limiter.available:
            self._hedge.withheld = words.PERMIT
        elif not means.imagined.try_withdraw(means.burst):
            self._hedge.withheld = words.BUDGET
        else:
            self._hedge.shadowed = True

    def _release(self, *, sent: bool) -> None:
        """Give its permit back. The endpoint must see the end of an attempt that was ``sent`` and cut before another
        request reaches it: the event loop closes a connection a turn later."""
        limiter, permit = self._means.limiter, self._permit
        if limiter is None or permit == REFUSED:
            return
        self._permit = REFUSED
        if sent:
            asyncio.get_running_loop().call_later(limiter.linger, limiter.release, permit)
        else:
            limiter.release(permit)

    def _undo(self, error: BaseException | None) -> None:
        """Nothing was sent of the second attempt: no endpoint took it, or it was cut before."""
        self._hedge.sent = False
        if isinstance(error, GatewayError):
            self._hedge.withheld = words.ENDPOINT
        self._means.budget.deposit(1.0)
        self._release(sent=False)

    # -- the attempts

    def _move(self, event: str) -> str:
        self._state, does = TABLE[self._state, event]
        return does

    def _start(self, seconds: float) -> None:
        attempt = HedgedAttempt(self._exchange, self, seconds)
        self._attempts.append(attempt)
        self._show_running()
        task = asyncio.get_running_loop().create_task(self._handle(attempt.exchange), name="hedged attempt")
        attempt.task = task
        task.add_done_callback(lambda _: self._ended(attempt, task))

    def _ended(self, attempt: HedgedAttempt, task: asyncio.Task[None]) -> None:
        attempt.close()
        attempt.error = asyncio.CancelledError() if task.cancelled() else task.exception()
        second = attempt is not self._attempts[0]
        if not attempt.decided and not attempt.lost:
            self._move(FAILED)
            if attempt.tries or self._shown is None:
                self._shown = attempt
        if second and not attempt.tries:
            self._undo(attempt.error)
        elif len(self._attempts) > 1:
            self._release(sent=True)  # from here on the permit of the exchange covers the other one
        self._show_running()
        if not self._idle.done() and all(each.over for each in self._attempts):
            self._idle.set_result(None)
        self._forget()

    def _show_running(self) -> None:
        self._hedge.carriers = tuple([attempt.exchange for attempt in self._attempts if not attempt.over])

    def _made(self) -> int:
        """Attempts of the exchange so far."""
        return self._tries + sum([attempt.tries for attempt in self._attempts])

    def _note_latency(self) -> None:
        """How long the first attempt took to begin its response, or had taken when the second one was faster. The
        second one says nothing of how long requests take: it went elsewhere, and later."""
        if isinstance(self._means.settings.after, str):
            self._means.latency.note(self._means.clock() - self._began)

    def _settle(self) -> None:
        """What the attempts have found is known to the exchange, and paid in."""
        ex, means = self._exchange, self._means
        shown = self._shown or self._attempts[0]
        others = [attempt for attempt in self._attempts if attempt is not shown]
        shown.give_back(self._made())
        for other in others:
            ex.tried += tuple([each for each in other.exchange.tried if each not in ex.tried])
            self._hedge.endpoint = other.exchange.attempt.endpoint
            if other.error is not None:
                # Its frames lead to its connection, which they would keep until the garbage collector runs.
                other.error.__traceback__ = other.error.__context__ = None
        if self._attempts[0].tries:
            if means.settings.mode == "shadow":
                means.imagined.deposit(means.share)
            if ex.retries is None:  # else these pay it in
                means.budget.deposit(means.share)
        self._settled = True
        self._forget()

    def _forget(self) -> None:
        """What leads from one to another would wait for the garbage collector."""
        if self._settled and all(attempt.over for attempt in self._attempts):
            for attempt in self._attempts:
                attempt.forget()
            self._attempts = []
