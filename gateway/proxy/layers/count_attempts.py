"""Counts the attempts at a single endpoint, by what they say of it. Where there are several, the balancer does it."""

from __future__ import annotations

from collections.abc import Container

from gateway.core.exchange import Exchange
from gateway.core.layer import Handler, Layer
from gateway.core.outcome import Outcome
from gateway.policy.member import Member
from gateway.proxy.layers.break_circuit import FAILURES, judged


def count_attempts(member: Member | None, failures: Container[int] = FAILURES) -> Layer:
    """Let ``member`` know how each attempt ended; None: nothing does. ``failures``: the statuses that are failures.

    One that the breaker of the endpoint rejected is no attempt.
    """
    if member is None:
        return lambda next_handler: next_handler

    def layer(next_handler: Handler) -> Handler:
        async def handle(ex: Exchange) -> None:
            attempts, outcome = ex.attempts, Outcome.IGNORED
            try:
                await next_handler(ex)
                outcome = judged(ex, None, failures)[0]
            except BaseException as error:
                outcome = judged(ex, error)[0]
                raise
            finally:
                if ex.attempts > attempts:
                    member.note(outcome)

        return handle

    return layer
