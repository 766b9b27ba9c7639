"""The retries of one exchange: what failed, whether and when it is sent again, and what is kept of its body."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.config import records
from gateway.core.clock import Clock
from gateway.core.exchange import Exchange
from gateway.core.message import ResponseHead
from gateway.core.retries import Later
from gateway.core.stream import ClientStream, Sink
from gateway.errors import GatewayError
from gateway.policy.backoff import Random, pause
from gateway.policy.budget import RetryBudget
from gateway.policy.retry import IDEMPOTENT, OVER, STALL, Failed, cause_against, failure_of, rejection_of
from gateway.proxy.discard import Discard
from gateway.proxy.kept_response import KeptResponse, discard
from gateway.proxy.layers.retry import has_body
from gateway.proxy.replay import Replay
from gateway.wire.buffers import BufferPool
from gateway.wire.retry_after_field import retry_after_of

FallsBack = Callable[[Exchange, GatewayError], bool]
_KEY: Final = b"idempotency-key:"
_OVER_HTTP_2: Final = "2"
"""There an endpoint may say that it has done nothing with a request: then it is repeated, whatever its method."""


def never(ex: Exchange, error: GatewayError) -> bool:
    """Of a route without a fallback."""
    del ex, error
    return False


@dataclass(frozen=True, slots=True)
class Means:
    """What the retries of a route work with. ``clock`` is monotonic, ``epoch`` that of dates.

    ``falls_back``: whether the fallback of the route takes over from what an exchange ends with.
    """

    settings: records.Retries
    budget: RetryBudget
    buffers: BufferPool
    clock: Clock
    epoch: Clock
    random: Random
    falls_back: FallsBack = never


class ExchangeRetries:
    """A `gateway.core.retries.Retries`; the layer `retry_within_budget` has one for each exchange."""

    __slots__ = (
        "_counted",
        "_discard",
        "_error",
        "_exchange",
        "_kept",
        "_kept_body",
        "_means",
        "_replay",
        "_sent_again_at",
        "due_at",
        "shadowed",
        "tries",
        "waiting",
        "withheld",
    )

    def __init__(self, exchange: Exchange, means: Means) -> None:
        self._exchange = exchange
        self._means = means
        self._replay: Replay | None = None
        self._discard: Discard | None = None
        self._kept: KeptResponse | None = None
        """The response to the attempt before, in the pause behind it and while the next attempt has no response."""
        self._error: GatewayError | None = None
        """What the attempt before failed with, in place of a response."""
        self._sent_again_at = 0
        """The place of what it failed with in ``failures`` of the exchange."""
        self._kept_body = 0
        """Bytes of a body that was taken whole, in the budget of the buffers."""
        self._counted = False
        """The first attempt has been paid in."""
        self.tries = 1
        """Attempts so far, without those that made good a stale connection."""
        self.due_at = 0.0
        """When the next one begins; 0.0: none does."""
        self.waiting = False
        self.withheld = ""
        self.shadowed = ""

    # -- decisions

    def failed(self, error: GatewayError) -> bool:
        """The attempt failed with ``error``: whether another one is made."""
        failure = failure_of(error)
        if not self._decide(failure, 0.0, harmless=error.unprocessed or not self._exchange.attempt.asked_at):
            return False
        # Its frames lead to the connection, which they would keep until the next attempt ends.
        error.__traceback__ = error.__context__ = error.__cause__ = None
        self._error = error
        return True

    def rejected(self, error: GatewayError) -> bool:
        """Whether the attempt that ended with ``error`` was a retry that was rejected before anything was sent, so that
        what the attempt before it has brought stands. A response has then been given to the caller; an error is raised.

        A response that was not kept is lost, and what the fallback takes over from is left to it: then ``error``
        stands.
        """
        cause, kept, before = rejection_of(error), self._kept, self._error
        lost = before is None and (kept is None or not kept.is_whole)
        if not cause or lost or self._means.falls_back(self._exchange, error):
            return False
        ex = self._exchange
        ex.failures = (*ex.failures[: self._sent_again_at], *ex.failures[self._sent_again_at + 1 :])
        self.tries -= 1
        self._means.budget.deposit(1.0)
        self.withheld = cause
        # Its frames lead to this exchange and back, so that both would wait for the garbage collector.
        error.__traceback__ = error.__context__ = error.__cause__ = None
        if before is not None:
            raise before from None
        assert kept is not None
        kept.give(ex)
        return True

    def discard(self, head: ResponseHead, stream: ClientStream, later: Later | None = None) -> Sink | None:
        """As `Retries.discard`."""
        failure = str(head.status)
        settings, means = self._means.settings, self._means
        asked = 0.0
        if settings.respect_retry_after and failure in settings.on:
            asked = retry_after_of(head.fields, means.epoch()) or 0.0
        if not self._decide(failure, asked, harmless=False):
            return None
        complete = self.end_attempt()
        self._discard = made = discard(head, stream, later, means.buffers, complete=complete)
        return made

    def _decide(self, failure: str, asked: float, *, harmless: bool) -> bool:
        ex, means = self._exchange, self._means
        settings = means.settings
        if not self._counted and ex.attempts:
            self._counted = True
            means.budget.deposit(settings.budget)
        self.withheld = ""
        if failure not in settings.on:
            return False
        now = means.clock()
        wait = asked + pause(self.tries, settings.backoff.base, settings.backoff.max, means.random)
        cause = cause_against(
            Failed(
                ex.committed and not self._would_be_held(),
                ex.gone_at > 0.0,
                harmless,
                self._repeatable(),
                (self.replayable or settings.mode == "shadow") and ex.bytes_in <= settings.replay_buffer,
                self.tries,
                settings.attempts,
                asked,
                settings.max_retry_after,
                now + wait,
                ex.deadline,
            ),
            self._withdraw,
        )
        if cause:
            self.withheld = "" if cause == OVER else cause
            return False
        if settings.mode == "shadow":
            self.shadowed = failure
            return False
        self._forget_before()
        self._sent_again_at = len(ex.failures)
        ex.failures = (*ex.failures, failure)
        self.tries += 1
        self.due_at = now + wait
        return True

    def _would_be_held(self) -> bool:
        """In shadow mode: the caller has the head of a stream, and would not have it if retries were made, because no
        event has come."""
        settings, events = self._means.settings, self._exchange.events
        return settings.mode == "shadow" and STALL in settings.on and events is not None and not events.first_at

    def _withdraw(self) -> bool:
        return self._means.budget.try_withdraw(self._means.settings.burst)

    def _repeatable(self) -> bool:
        """The method may be sent twice (RFC 9110 9.2.2), or the caller has named the request, so that the endpoint
        knows it again (draft-ietf-httpapi-idempotency-key-header)."""
        request = self._exchange.request
        if request.method in IDEMPOTENT or self._means.settings.methods == "all":
            return True
        return any(line[: len(_KEY)].lower() == _KEY for line in request.fields)

    # -- the body of the request

    @property
    def replayable(self) -> bool:
        """As `Retries.replayable`."""
        ex = self._exchange
        if self._replay is not None:
            return self._replay.whole
        return has_body(ex)

    def keep(self, body: bytes) -> bool:
        """As `Retries.keep`."""
        size = len(body)
        if not self._may_need(size) or not self._means.buffers.keep(size):
            return False
        self._kept_body = size
        return True

    @property
    def relayed(self) -> bool:
        """As `Retries.relayed`."""
        return self._replay is not None

    def upload(self, stream: ClientStream, on_end: Callable[[], None]) -> None:
        """As `Retries.upload`."""
        ex, means = self._exchange, self._means
        if self._replay is None:
            if not self._may_need(max(0, ex.request.length)):
                ex.downstream.pipe(stream, on_end)
                return
            self._replay = Replay(ex.downstream, means.buffers, means.settings.replay_buffer)
        self._replay.attach(stream, on_end)

    def _may_need(self, size: int) -> bool:
        """Whether a body of ``size`` bytes, which are yet to be sent, may have to be sent again."""
        settings = self._means.settings
        if size > settings.replay_buffer or settings.mode == "shadow":
            return False
        return self._repeatable() or self._exchange.attempt.http_version == _OVER_HTTP_2

    def begun(self) -> None:
        """As `Retries.begun`. No other attempt follows."""
        self.forget()

    def end_attempt(self) -> bool:
        """As `Retries.end_attempt`."""
        down = self._exchange.downstream
        if self._replay is not None:
            self._replay.detach()
            return self._replay.given
        complete = down.body_complete
        if not complete:
            down.stop_body()
        return complete

    @property
    def discarding(self) -> bool:
        """As `Retries.discarding`."""
        return self._discard is not None

    # -- its life

    def begin_wait(self) -> float:
        """Between two attempts: the seconds until the next one, which begins by `end_wait`."""
        ex = self._exchange
        if self._discard is not None:
            self._discard.close()
            if isinstance(self._discard, KeptResponse):
                self._kept = self._discard
            self._discard = None
            ex.status = 0
        self.waiting = True
        return max(0.0, self.due_at - self._means.clock())

    def end_wait(self) -> None:
        self.due_at = 0.0
        self.waiting = False

    def forget(self) -> None:
        """No other attempt follows: the request's body is kept no longer, nor is what came before."""
        ex = self._exchange
        self._forget_before()
        if self._replay is not None:
            self._replay.forget()
        if self._kept_body:
            self._means.buffers.let_go(self._kept_body)
            self._kept_body = 0
            ex.body = None

    def _forget_before(self) -> None:
        """Nothing stands for the attempts so far any more."""
        self._error = None
        if self._kept is not None:
            self._kept.forget()
            self._kept = None

    def close(self) -> None:
        """The exchange is over."""
        self.forget()
        self.waiting = False
        if self._discard is not None:
            self._discard.close()
            if isinstance(self._discard, KeptResponse):
                self._discard.forget()
            self._discard = None
        if self._replay is not None:
            self._exchange.downstream.stop_body()
