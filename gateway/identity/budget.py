"""How many bad signatures are verified for a client address: each costs up to a millisecond of the worker's core.

Each address has `BURST` failures, and gets `PER_SECOND` back. When they are used up, no signature of that address is
verified, so a token that was verified before still passes: it needs no verification. Many callers may share one address
(NAT), so a caller whose token was valid from that address within the last hours has a separate allowance, and its next
token passes while another caller behind the same address attacks. Only a caller that is new there has to wait.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from gateway.core.client import address_text
from gateway.core.memo import Memo

BURST: Final = 50
PER_SECOND: Final = 5.0
KNOWN_BURST: Final = 5
"""For a caller whose token was valid from the same address before."""
KNOWN_PER_SECOND: Final = 0.5
_MAX_REMEMBERED: Final = 8192
_IPV6_PREFIX: Final = 64
"""Bits of an IPv6 address that identify a client: the client chooses the rest."""


class _Allowance:
    """A token bucket. ``left`` as of ``at``, a reading of the clock in seconds."""

    __slots__ = ("at", "left")

    def __init__(self, burst: float, now: float) -> None:
        self.left = burst
        self.at = now

    def refill(self, burst: float, rate: float, now: float) -> float:
        self.left = min(burst, self.left + max(0.0, now - self.at) * rate)
        self.at = now
        return self.left


class FailureBudget:
    """The allowances of all addresses. Belongs to one event loop; ``now`` is in seconds, and never goes back far."""

    def __init__(self) -> None:
        # The allowance that makes room was not used for longest, so it is full again, or nearly.
        self._clients: Memo[str, _Allowance] = Memo(_MAX_REMEMBERED)
        self._known: Memo[tuple[str, str, str], _Allowance] = Memo(_MAX_REMEMBERED)

    def of(self, client: str, now: float) -> ClientBudget:
        """The budget of ``client``, as `client_key` names it."""
        return ClientBudget(self, client, now)

    def allows(self, client: str, caller: tuple[str, str, str], now: float) -> bool:
        allowance = self._clients.get(client)
        if allowance is None or allowance.refill(BURST, PER_SECOND, now) >= 1:
            return True
        known = self._known.get(caller)
        return known is not None and known.refill(KNOWN_BURST, KNOWN_PER_SECOND, now) >= 1

    def failed(self, client: str, caller: tuple[str, str, str], now: float, signatures: int) -> None:
        allowance = self._clients.get(client) or _Allowance(BURST, now)
        if allowance.refill(BURST, PER_SECOND, now) >= 1 or caller not in self._known:
            allowance.left -= signatures
            self._clients.put(client, allowance)
        else:
            self._known[caller].left -= signatures

    def succeeded(self, caller: tuple[str, str, str], now: float) -> None:
        self._known.put(caller, self._known.get(caller) or _Allowance(KNOWN_BURST, now))


class ClientBudget:
    """The budget of one address at one moment (the `Budget` of the verifier)."""

    __slots__ = ("_budget", "_client", "_now")

    def __init__(self, budget: FailureBudget, client: str, now: float) -> None:
        self._budget = budget
        self._client = client
        self._now = now

    def allows(self, issuer: str, subject: str) -> bool:
        return self._budget.allows(self._client, (self._client, issuer, subject), self._now)

    def succeeded(self, issuer: str, subject: str) -> None:
        self._budget.succeeded((self._client, issuer, subject), self._now)

    def failed(self, issuer: str, subject: str, signatures: int) -> None:
        self._budget.failed(self._client, (self._client, issuer, subject), self._now, signatures)


def client_key(client: str) -> str:
    """The key of the budget of ``client``, an address with or without a port: the IPv4 address, or the /64 of an IPv6
    address.
    """
    text = address_text(client)
    if not text:
        return client
    address = ipaddress.ip_address(text)
    if address.version == 6:
        return str(ipaddress.ip_network((int(address) >> _IPV6_PREFIX << _IPV6_PREFIX, _IPV6_PREFIX)))
    return text
