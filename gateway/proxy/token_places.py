"""Waits for tokens of the rate limits of an upstream, in the order of `gateway.policy.token_line`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from gateway.policy.rate import RateLimits, Reservation
from gateway.policy.token_line import TokenLine

_SOONEST: Final = 0.001
"""Seconds until a timer runs, at the least: the event loop knows whole milliseconds."""


class TokenPlaces:
    """The line of one upstream. Arguments as those of `TokenLine`."""

    def __init__(self, machine: RateLimits, keys: Sequence[int]) -> None:
        self._clock = machine.clock
        self._line: TokenLine[asyncio.Future[Reservation]] = TokenLine(machine, keys)
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """How many wait."""
        return len(self._line)

    def place(self) -> TokenPlace:
        """As `gateway.proxy.layers.limit_rate.Places.place`."""
        return TokenPlace(self)

    async def token(self, latest: float) -> Reservation | None:
        """Wait for a token; None: it would not be there by ``latest``."""
        waiter: asyncio.Future[Reservation] = asyncio.get_running_loop().create_future()
        if not self._line.join(waiter, latest):
            return None
        self._arm()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                self._line.leave(waiter)
            else:
                self._line.give_back(waiter.result())
            self._arm()
            raise

    def give_back(self, token: Reservation) -> None:
        """``token`` was not used."""
        self._line.give_back(token)
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        at = self._line.next_at
        if at is not None:
            self._timer = asyncio.get_running_loop().call_later(max(_SOONEST, at - self._clock()), self._wake)

    def _wake(self) -> None:
        while found := self._line.due():
            for waiter, token in found:
                if waiter.cancelled():  # it has left in this turn of the loop
                    self._line.give_back(token)
                else:
                    waiter.set_result(token)
        self._arm()


class TokenPlace:
    """A `gateway.core.quota.Place`."""

    __slots__ = ("_places", "_token")

    def __init__(self, places: TokenPlaces) -> None:
        self._places = places
        self._token: Reservation | None = None

    async def reach(self, latest: float) -> bool:
        """As `Place.reach`."""
        self._token = await self._places.token(latest)
        return self._token is not None

    def take(self) -> bool:
        """As `Place.take`."""
        token, self._token = self._token, None
        return token is not None

    def leave(self) -> None:
        """As `Place.leave`."""
        token, self._token = self._token, None
        if token is not None:
            self._places.give_back(token)
