"""How often logins may fail, and how many passwords are computed at a time.

Failures are counted for each client and account, and for each account over all clients. A client that is known is
outside both counts and has one of its own: a device that logged in to the account before shows a cookie that says so.
So an attacker who shares an address with a superuser, as behind a proxy or a NAT, slows himself down and not the
superuser's devices. A client address that logged in before is outside the count of the account alone.
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
"""Bits. A client has all addresses of such a network (RFC 6177), and must not have a count for each."""


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
        # The debt has a bottom: an attack of any length makes nobody wait longer than a short one.
        self._levels.put(key, (max(self._level(key) - 1.0, -float(self._rate.burst)), self._clock()))

    def give_back(self, key: str) -> None:
        if key in self._levels:
            self._levels[key] = (self._level(key) + 1.0, self._clock())

    def _level(self, key: str) -> float:
        level, at = self._levels.get(key, (float(self._rate.burst), self._clock()))
        return min(float(self._rate.burst), level + (self._clock() - at) / self._rate.seconds)


class LoginThrottle:
    """Ask `check` first. ``device``: the id of a device that logged in to this account before; empty: a stranger's.

    A try is counted by `failed` before its slow part, so that many at once are as many; `withdrawn` takes that back,
    and so does `succeeded`.

    One client fails more slowly than the count of an account refills, so that no single address keeps strangers from
    other addresses out: that takes as many addresses as the ratio of the two rates.
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
        """The try that was counted last did not fail. What others failed at the same address stays counted."""
        if device:
            self._devices.give_back(device)
            return
        self._clients.give_back(_pair(client, account))
        self._accounts.give_back(account)

    def succeeded(self, client: str, account: str, device: str = "") -> None:
        self.withdrawn(client, account, device)
        self._welcome.put(_pair(client, account), None)


class Crowded(Exception):  # noqa: N818 - a state, not a mistake
    """Too many passwords are computed or wait for that."""


class Turns:
    """Bounds the passwords that are computed and that wait for it: each costs 150 ms and 64 MiB.

    Strangers have ``strangers`` places, a client of theirs ``of_client`` of them; known devices have places of their
    own, so that a flood of strangers delays them by what those few places take, and no more.
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
    """By what a client is counted: an IPv4 address, or the /64 network of an IPv6 address."""
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
