"""How often logins may fail: by client, and by account for clients that never succeeded with it.

Somebody who guesses a superuser's password slows down himself and other strangers, but not the clients from which that
superuser has logged in before: nobody can be locked out by others for good.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from gateway.core.clock import Clock, monotonic

_MAX_REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True)
class Rate:
    """``burst`` failures at once, and then one in ``seconds``."""

    burst: int
    seconds: float


class _Buckets:
    """A token bucket for each key; those not used for longest are forgotten."""

    def __init__(self, rate: Rate, clock: Clock) -> None:
        self._rate = rate
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, key: str) -> float:
        level = self._level(key)
        return 0.0 if level >= 1.0 else (1.0 - level) * self._rate.seconds

    def take(self, key: str) -> None:
        # The debt has a bottom: an attack of any length makes nobody wait longer than a short one.
        self._levels[key] = (max(self._level(key) - 1.0, -float(self._rate.burst)), self._clock())
        self._levels.move_to_end(key)
        if len(self._levels) > _MAX_REMEMBERED:
            self._levels.popitem(last=False)

    def give_back(self, key: str) -> None:
        if key in self._levels:
            self._levels[key] = (self._level(key) + 1.0, self._clock())

    def forget(self, key: str) -> None:
        self._levels.pop(key, None)

    def _level(self, key: str) -> float:
        level, at = self._levels.get(key, (float(self._rate.burst), self._clock()))
        return min(float(self._rate.burst), level + (self._clock() - at) / self._rate.seconds)


class LoginThrottle:
    """Ask `check` first.

    A try is counted by `failed` before its slow part, so that many at once are as many; `succeeded` takes that back.
    """

    def __init__(
        self,
        clock: Clock = monotonic,
        *,
        per_client: Rate = Rate(10, 10.0),
        per_account: Rate = Rate(20, 30.0),
    ) -> None:
        self._clients = _Buckets(per_client, clock)
        self._accounts = _Buckets(per_account, clock)
        self._welcome: OrderedDict[tuple[str, str], None] = OrderedDict()

    def check(self, client: str, account: str) -> int:
        """Whole seconds to wait before the next try; 0: now."""
        wait = self._clients.wait(client)
        if (client, account) not in self._welcome:
            wait = max(wait, self._accounts.wait(account))
        return math.ceil(wait)

    def failed(self, client: str, account: str) -> None:
        self._clients.take(client)
        self._accounts.take(account)

    def succeeded(self, client: str, account: str) -> None:
        self._clients.forget(client)
        self._accounts.give_back(account)
        self._welcome[client, account] = None
        self._welcome.move_to_end((client, account))
        if len(self._welcome) > _MAX_REMEMBERED:
            self._welcome.popitem(last=False)
