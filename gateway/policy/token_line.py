"""Who waits in this process for a token of a rate limit: the first to come gets the first token.

Each waiter has reserved a token, so that as many waiters need as many tokens, and none of them asks in vain. Which
token is whose follows from the order alone: one who leaves makes all behind it a token earlier. The last one is given
back then, unless another process has reserved a later one; such a token is for the next who comes before it is due, and
else is lost.

It knows nothing of tasks and timers: a waiter is any hashable token. It asks `gateway.policy.rate` for the time.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

from gateway.policy.rate import TOLERANCE, RateLimits, Reservation

W = TypeVar("W", bound=Hashable)


class TokenLine(Generic[W]):
    """``keys``: of the buckets of ``machine``, all of whose limits owe."""

    __slots__ = ("_keys", "_machine", "_tokens", "_waiters")

    def __init__(self, machine: RateLimits, keys: Sequence[int]) -> None:
        self._machine = machine
        self._keys = keys
        self._waiters: dict[W, None] = {}
        """The first to come first."""
        self._tokens: list[Reservation] = []
        """The first to be due first; at least as many as waiters."""

    def __len__(self) -> int:
        return len(self._waiters)

    def join(self, waiter: W, latest: float) -> bool:
        """``waiter`` comes to wait; False: it would have no token by ``latest``, and does not wait."""
        self._drop_unused()
        ahead = len(self._waiters)
        if ahead == len(self._tokens):
            made = self._machine.reserve(self._keys, latest)
            if made is None:
                return False
            insort(self._tokens, made, key=_moment)  # after a reload with a higher rate it may be the first
        elif self._tokens[ahead].at > latest:
            return False
        self._waiters[waiter] = None
        return True

    def leave(self, waiter: W) -> None:
        """``waiter`` waits no longer; harmless for one who does not wait (any more)."""
        if waiter in self._waiters:
            del self._waiters[waiter]
            self._give_back()

    def give_back(self, token: Reservation) -> None:
        """A token of `due` that was not used: it is for the next waiter."""
        insort(self._tokens, token, key=_moment)
        self._give_back()

    def due(self) -> list[tuple[W, Reservation]]:
        """Remove and return those whose token is there now, with it."""
        found = []
        latest = self._machine.clock() + TOLERANCE
        while self._waiters and self._tokens[0].at <= latest:
            waiter = next(iter(self._waiters))
            del self._waiters[waiter]
            found.append((waiter, self._tokens.pop(0)))
        return found

    @property
    def next_at(self) -> float | None:
        """The moment at which the next one gets its token; None: no one waits."""
        return self._tokens[0].at if self._waiters else None

    def _give_back(self) -> None:
        """What no waiter needs, as far as nothing was taken since."""
        while len(self._tokens) > len(self._waiters) and self._machine.give_back(self._tokens[-1]):
            self._tokens.pop()

    def _drop_unused(self) -> None:
        """Tokens that were due when no one waited for them."""
        now = self._machine.clock()
        while self._tokens and not self._waiters and self._tokens[0].at < now - TOLERANCE:
            self._tokens.pop(0)


def _moment(token: Reservation) -> float:
    return token.at
