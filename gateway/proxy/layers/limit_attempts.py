"""Applies the rate limits of an upstream: each attempt that goes there takes a token.

The other side counts what reaches it, so that a retry and a hedge count as a first attempt does. A request that is sent
again because its connection was stale has its token already: the other side has done nothing with it.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence

from gateway.core.exchange import Exchange
from gateway.core.layer import Handler, Layer
from gateway.core.quota import Quota
from gateway.errors import RATE_LIMIT
from gateway.policy.retry import STALE
from gateway.proxy.layers.limit_rate import RateRule


class Refused:
    """A `gateway.core.quota.Quota`: limits of these kinds have refused an attempt, or would have in shadow mode.
    ``before``: what the exchange had, whose fields a response keeps.
    """

    __slots__ = ("_before", "limited")

    def __init__(self, kinds: Sequence[int], before: Quota | None) -> None:
        self._before = before
        known = () if before is None else before.limited
        self.limited: Sequence[int] = tuple(dict.fromkeys((*known, *kinds)))

    @property
    def shown(self) -> bool:
        """As `Quota.shown`."""
        return self._before is not None and self._before.shown

    def lines(self) -> bytes:
        """As `Quota.lines`."""
        return b"" if self._before is None else self._before.lines()


def limit_attempts(rule: RateRule | None) -> Layer:
    """Refuse with RATE_LIMIT an attempt that a limit of ``rule`` does not admit; None: the layer is not there.

    It has a place in the line for a token then, and may come again with that. A limit in shadow mode sets ``shadow``
    instead.
    """
    if rule is None:
        return lambda next_handler: next_handler
    machine, keys, places = rule.machine, rule.keys_of_all, rule.places
    assert places is not None  # those of upstreams have them

    def layer(next_handler: Handler) -> Handler:
        # Not a coroutine: it never waits.
        def handle(ex: Exchange) -> Coroutine[None, None, None]:
            if ex.attempt.endpoint and ex.failures and ex.failures[-1] == STALE:  # not that of another upstream
                return next_handler(ex)
            if ex.place is not None and ex.place.take():
                return next_handler(ex)
            rejection = machine.try_take(keys)
            if rejection is None:
                return next_handler(ex)
            ex.quota = Refused([rule.kinds[at] for at in rejection.limits], ex.quota)
            if rejection.wait:
                ex.place = places.place()
                raise rule.error(rejection)
            ex.shadow = ex.shadow or RATE_LIMIT.code
            return next_handler(ex)

        return handle

    return layer
