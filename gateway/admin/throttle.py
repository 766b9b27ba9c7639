"""Limits how often logins may fail, and how many password hashes are computed at a time.

Failures are counted for each client and account, and for each account over all clients. A known device is outside both
counts and has its own: a device that logged in to the account before sends a cookie that proves it. So an attacker that
shares an address with a superuser, as behind a proxy or a NAT, is throttled, and the superuser's devices are not. A
client address that logged in before is outside the count of the account only.
"""

from __future__ import annotations

import ipaddress
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from gateway.core.clock import Clock, monotonic
from gateway.core.memo import Memo

_MAX_REMEMBERED: Final = 10_000
_NETWORK_V6: Final = 64
"""Bits. A client owns all addresses of such a network (RFC 6177), and must not get a count for each."""


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
        self._levels: Memo[str, tuple[float, float]] = Memo(_MAX_REMEMBERED)

    def wait(self, key: str) -> float:
        level = self._level(key)
        return 0.0 if level >= 1.0 else (1.0 - level) * self._rate.seconds

    def take(self, key: str) -> None:
        # The debt is bounded: a long attack makes no one wait longer than a short one.
        self._levels.put(key, (max(self._level(key) - 1.0, -float(self._rate.burst)), self._clock()))

    def give_back(self, key: str) -> None:
        if key in self._levels:
            self._levels[key] = (self._level(key) + 1.0, self._clock())

    def _level(self, key: str) -> float:
        level, at = self._levels.get(key, (float(self._rate.burst), self._clock()))
        return min(float(self._rate.burst), level + (self._clock() - at) / self._rate.seconds)


class LoginThrottle:
    """Call `check` first. ``device``: the id of a device that logged in to this account before; empty: unknown.

    `failed` counts a try before its slow part, so that concurrent tries all count; `withdrawn` and `succeeded` undo
    that.

    The rate of one client is below the refill rate of an account, so that no single address can lock out unknown
    clients at other addresses: that takes as many addresses as the ratio of the two rates.
    """

    def __init__(
        self,
        clock: Clock = monotonic,
        *,
        per_client: Rate = Rate(10, 30.0),
        per_account: Rate = Rate(50, 10.0),
        per_device: Rate = Rate(10, 10.0),
    ) -> None:
        self._clients = _Buckets(per_client, clock)
        self._accounts = _Buckets(per_account, clock)
        self._devices = _Buckets(per_device, clock)
        self._welcome: Memo[str, None] = Memo(_MAX_REMEMBERED)

    def check(self, client: str, account: str, device: str = "") -> int:
        """Whole seconds to wait before the next try; 0: now."""
        if device:
            return math.ceil(self._devices.wait(device))
        pair = _pair(client, account)
        wait = self._clients.wait(pair)
        if pair not in self._welcome:
            wait = max(wait, self._accounts.wait(account))
        return math.ceil(wait)

    def failed(self, client: str, account: str, device: str = "") -> None:
        if device:
            self._devices.take(device)
            return
        self._clients.take(_pair(client, account))
        self._accounts.take(account)

    def withdrawn(self, client: str, account: str, device: str = "") -> None:
        """The last counted try did not fail. Failures of others at the same address stay counted."""
        if device:
            self._devices.give_back(device)
            return
        self._clients.give_back(_pair(client, account))
        self._accounts.give_back(account)

    def succeeded(self, client: str, account: str, device: str = "") -> None:
        self.withdrawn(client, account, device)
        self._welcome.put(_pair(client, account), None)


class Crowded(Exception):  # noqa: N818 - a state, not an error
    """Too many password hashes are running or waiting."""


class Turns:
    """Bounds the password hashes that run and that wait: each costs 150 ms and 64 MiB.

    Unknown clients share ``strangers`` places, of which one client gets ``of_client``. Known devices have their own
    places, so that a flood of unknown clients delays them by those few hashes at most.
    """

    def __init__(self, strangers: int = 8, of_client: int = 4, known: int = 4) -> None:
        self._strangers = strangers
        self._of_client = of_client
        self._known = known
        self._clients: Counter[str] = Counter()
        self._known_taken = 0

    @contextmanager
    def turn(self, client: str, *, known: bool) -> Iterator[None]:
        """Raises `Crowded` at once when there is no place."""
        if known:
            if self._known_taken >= self._known:
                raise Crowded
            self._known_taken += 1
            try:
                yield
            finally:
                self._known_taken -= 1
            return
        key = network(client)
        if self._clients.total() >= self._strangers or self._clients[key] >= self._of_client:
            raise Crowded
        self._clients[key] += 1
        try:
            yield
        finally:
            self._clients[key] -= 1
            if not self._clients[key]:
                del self._clients[key]


def network(client: str) -> str:
    """The key by which a client is counted: an IPv4 address, or the /64 network of an IPv6 address."""
    try:
        address = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return client
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, _NETWORK_V6), strict=False))


def _pair(client: str, account: str) -> str:
    return f"{network(client)} {account}"
