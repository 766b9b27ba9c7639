"""When a call is made again: the retry policy of an action, else of its connection."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from gateway.actions.merge import Merged
from gateway.config.actions import Retry
from gateway.errors import RATE_LIMIT
from gateway.policy.retry import FAILURES, IDEMPOTENT, REFUSED_STREAM

LONGEST_ASKED: Final = 86400.0
"""Seconds of a Retry-After: what asks for more is taken to ask for a day."""


def may_repeat(policy: Retry, merged: Merged) -> bool:
    """Whether it may be sent twice: its method is idempotent (RFC 9110 9.2.2), or it has an Idempotency-Key."""
    return policy.retries > 0 and (
        merged.method.encode() in IDEMPOTENT or policy.non_idempotent or bool(merged.header("Idempotency-Key"))
    )


class PolicyPatience:
    """A `gateway.actions.repeat.Patience` by a policy. ``chance``: a random number from 0 to 1."""

    __slots__ = ("_chance", "_policy")

    def __init__(self, policy: Retry, chance: Callable[[], float] = random.random) -> None:
        self._policy = policy
        self._chance = chance

    def pause(self, attempts: int, cause: str, asked: float | None, spent: float) -> float | None:
        """Seconds until the next attempt; None: there is none. Arguments as those of the protocol."""
        policy = self._policy
        if attempts > policy.retries or not self._repeats(cause):
            return None
        pause = delay(policy, attempts)
        if policy.jitter == "full":
            pause *= self._chance()
        if asked is not None and policy.respect_retry_after:
            pause = min(asked, LONGEST_ASKED, policy.most)
        return None if policy.total and spent + pause > policy.total else pause

    def wait(self, attempts: int, spent: float) -> float:
        """Seconds for a token; 0.0: it does not wait. Arguments as those of the protocol."""
        policy = self._policy
        if not self._repeats(str(RATE_LIMIT.status)):
            return 0.0
        most = policy.most if policy.respect_retry_after else delay(policy, max(1, attempts))
        return max(0.0, min(most, policy.total - spent)) if policy.total else most

    def _repeats(self, cause: str) -> bool:
        """A refused stream was not processed; a failed connection or no response in time may be better next time."""
        if cause in FAILURES or cause == REFUSED_STREAM:
            return True
        return cause.isdigit() and int(cause) in self._policy.statuses


def delay(policy: Retry, attempts: int) -> float:
    """Seconds after so many failed attempts, without jitter."""
    try:
        return min(policy.base * policy.factor ** (attempts - 1), policy.most)
    except OverflowError:
        return policy.most
