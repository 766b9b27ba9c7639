"""Applies the rate limits of a proxy, and says in its responses what is left of them.

The fields are those of draft-ietf-httpapi-ratelimit-headers-10: lists of strings with parameters (RFC 9651). ``q`` is
the size of a bucket and ``w`` the time in which an empty one fills, so q / w is the rate; ``r`` is what is in it, and
``t`` the time until one more token.

A limit of tokens that a response reports is charged when that has ended, with what was read of it until then.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Protocol

from gateway.config import records
from gateway.core.exchange import Exchange
from gateway.core.layer import Handler, Layer
from gateway.core.quota import Place
from gateway.errors import RATE_LIMIT, GatewayError
from gateway.policy.rate import RateLimits, Rejection
from gateway.proxy.rate_keys import hashed, key_of, kind_of


class Places(Protocol):
    """The line for tokens of an upstream."""

    def place(self) -> Place:
        """One for an exchange that was refused. It is in the line once it waits."""
        ...


class RateRule:
    """The rate limits of a proxy, or of an upstream: the machine, where its keys come from, and what responses say."""

    __slots__ = ("_keys", "_seed", "kinds", "machine", "of", "places", "policy", "settings", "shown")

    def __init__(self, settings: Sequence[records.RateLimit], machine: RateLimits, seed: bytes, of: str = "") -> None:
        """``settings``: those of ``machine.limits``, in the same order. ``seed``: as `gateway.policy.stores.Stores`.
        ``of``: the name of the upstream; empty: they are a proxy's.
        """
        self.places: Places | None = None
        """Where those wait whom the limits of an upstream have refused; None: no one does."""
        self.settings = settings
        self.of = of
        self.machine = machine
        self.kinds = tuple(kind_of(limit.key) for limit in settings)
        self._seed = seed
        self._keys = tuple(key_of(limit.key) for limit in settings)
        self.shown = tuple(at for at, limit in enumerate(settings) if _is_shown(limit))
        """The limits of which responses tell."""
        items = (machine.limits[at] for at in self.shown)
        described = ", ".join(f'"{limit.name}";q={limit.burst};w={limit.window}' for limit in items)
        self.policy = f"RateLimit-Policy: {described}\r\n".encode()

    @property
    def keys_of_all(self) -> list[int]:
        """That key for each limit."""
        return [self.key_of_all] * len(self.settings)

    @property
    def key_of_all(self) -> int:
        """The key of the only bucket of a limit for all."""
        return hashed(self._seed, b"")

    def left(self, at: int) -> int:
        """Tokens in the bucket of the limit ``at``, which is one for all."""
        return self.machine.limits[at].left(self.key_of_all, self.machine.clock())[0]

    def keys(self, ex: Exchange) -> list[int]:
        """The hashes of its keys, one for each limit."""
        seed = self._seed
        return [hashed(seed, key(ex)) for key in self._keys]

    def error(self, rejection: Rejection) -> GatewayError:
        """What a rejected request ends with."""
        limits = [self.machine.limits[at] for at in rejection.limits if not self.machine.limits[at].shadow]
        what = "tokens were used" if all(limit.late for limit in limits) else "requests came"
        details = f"Too many {what} for the rate limit {' and '.join([limit.name for limit in limits])}"
        if self.of:
            details += f" of {self.of}"
        return GatewayError(RATE_LIMIT, details, retry_after=rejection.retry_after)


def _is_shown(limit: records.RateLimit) -> bool:
    """A limit in shadow mode promises nothing."""
    wanted = limit.fields == "always" or (limit.fields == "auto" and limit.key != "all")
    return wanted and limit.mode == "enforce"


class Answer:
    """A `gateway.core.quota.Quota`: what ``rule`` says of the exchange with these ``keys``."""

    __slots__ = ("_keys", "_named", "_rejecting", "_rule")

    def __init__(self, rule: RateRule, keys: Sequence[int], rejection: Rejection | None) -> None:
        self._rule = rule
        self._keys = keys
        self._rejecting = () if rejection is None else rejection.limits
        # Of a rejection only those that caused it: another one may have its next token later than Retry-After says.
        refused = rejection is not None and rejection.wait > 0.0
        self._named = [at for at in rule.shown if at in self._rejecting] if refused else rule.shown

    @property
    def limited(self) -> Sequence[int]:
        """As `Quota.limited`."""
        return [self._rule.kinds[at] for at in self._rejecting]

    @property
    def shown(self) -> bool:
        """As `Quota.shown`."""
        return bool(self._rule.shown)

    def lines(self) -> bytes:
        """As `Quota.lines`."""
        rule = self._rule
        if not rule.shown:
            return b""
        now = rule.machine.clock()
        items = []
        for at in self._named:
            limit = rule.machine.limits[at]
            tokens, seconds = limit.left(self._keys[at], now)
            items.append(f'"{limit.name}";r={tokens};t={seconds}' if seconds else f'"{limit.name}";r={tokens}')
        return rule.policy + f"RateLimit: {', '.join(items)}\r\n".encode() if items else rule.policy


def limit_rate(rule: RateRule | None) -> Layer:
    """Refuse with RATE_LIMIT what a limit of ``rule`` does not admit; None: the layer is not there.

    A limit in shadow mode sets ``shadow`` instead.
    """
    if rule is None:
        return lambda next_handler: next_handler
    machine = rule.machine

    def layer(next_handler: Handler) -> Handler:
        # Not a coroutine: it never waits.
        def handle(ex: Exchange) -> Coroutine[None, None, None]:
            keys = rule.keys(ex)
            rejection = machine.try_take(keys)
            if rejection is None:
                if rule.shown:
                    ex.quota = Answer(rule, keys, None)
                return next_handler(ex)
            ex.quota = Answer(rule, keys, rejection)
            if rejection.wait:
                raise rule.error(rejection)
            ex.shadow = ex.shadow or RATE_LIMIT.code
            return next_handler(ex)

        async def handle_and_charge(ex: Exchange) -> None:
            try:
                await handle(ex)
            finally:
                if ex.usage is not None:
                    machine.charge(rule.keys(ex), ex.usage.tokens)

        return handle_and_charge if machine.late else handle

    return layer
