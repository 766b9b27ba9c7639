"""How one of several endpoints is chosen: round robin, least requests, at random, or by a hash of the request.

Each method gets those that may be chosen now, with the weights that they have now, and keeps no list of its own but the
ring. `policy.group` decides who may be chosen.

    round_robin    smooth weighted round robin, as nginx has it: of weights 5, 1, 1 the turns are a a b a c a a
    least_request  two at random (by weight), and of them the one with fewer requests for its weight (Mitzenmacher, "The
                   Power of Two Choices"): it needs no look at all, and many gateways do not run to the same endpoint
    random         by weight
    ring_hash      a consistent hash (ketama): a request with the same key goes to the same endpoint, and when one
                   leaves, only its keys move. With bounded load (Mirrokni and others, "Consistent Hashing with Bounded
                   Loads"): an endpoint that has more than its share passes the request on to the next one
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Final, Protocol

from gateway.policy.member import Member

POINTS: Final = 256
"""Of an endpoint with the average weight on the ring: the shares of equal endpoints then differ by about 6 %."""

Uniform = Callable[[], float]
"""A random number from 0.0 to below 1.0."""
Weighted = Sequence[tuple[Member, float]]
"""Members, each with the weight that it has now, above 0.0."""


class Balance(Protocol):
    """Chooses one of ``members``, which holds one at least. ``key``: what the request is hashed by; empty: nothing."""

    def choose(self, members: Weighted, key: bytes, now: float) -> Member: ...


class RoundRobin:
    """Smooth weighted round robin. Its state is in the members, so that a new configuration goes on with it."""

    def choose(self, members: Weighted, key: bytes, now: float) -> Member:
        del key, now
        total = 0.0
        best = members[0][0]
        for member, weight in members:
            member.current += weight
            total += weight
            if member.current > best.current:
                best = member
        best.current -= total
        return best


class Random:
    def __init__(self, uniform: Uniform) -> None:
        self._uniform = uniform

    def choose(self, members: Weighted, key: bytes, now: float) -> Member:
        del key, now
        return members[drawn(members, self._uniform())][0]


class LeastRequest:
    def __init__(self, uniform: Uniform) -> None:
        self._uniform = uniform

    def choose(self, members: Weighted, key: bytes, now: float) -> Member:
        del key
        first = drawn(members, self._uniform())
        one, weight = members[first]
        if len(members) == 1:
            return one
        rest = [*members[:first], *members[first + 1 :]]
        other, others = rest[drawn(rest, self._uniform())]
        # Equal ones: the first, because it was drawn by the weights alone.
        return other if other.load(now) * weight < one.load(now) * others else one


class RingHash:
    """``members``: all that are configured, with their ``weights``. The ring has them all, so that one that is away
    takes no keys of others along when it comes back.

    ``most``: how many times its share of the requests in flight an endpoint may have before they go to the next one;
    0.0: any number. A request without a key goes to the one with the fewest requests.
    """

    def __init__(self, members: Sequence[Member], weights: Sequence[int], uniform: Uniform, most: float) -> None:
        self._least = LeastRequest(uniform)
        self._most = most
        points: dict[int, Member] = {}
        average = sum(weights) / len(members)
        for member, weight in zip(members, weights, strict=True):
            for number in range(max(1, round(POINTS * weight / average))):
                points.setdefault(hashed(f"{member.name} {number}".encode()), member)
        self._hashes = sorted(points)
        self._members = [points[each] for each in self._hashes]

    def choose(self, members: Weighted, key: bytes, now: float) -> Member:
        if not key:
            return self._least.choose(members, key, now)
        weights = dict(members)
        total = sum(weights.values())
        loads = {member: member.load(now) for member in weights} if self._most else {}
        running = sum(loads.values()) + 1
        ring, count = self._members, len(self._members)
        start = bisect_left(self._hashes, hashed(key))
        for step in range(count):
            member = ring[(start + step) % count]
            weight = weights.get(member)
            if weight is None:
                continue
            if not self._most or loads[member] < math.ceil(self._most * running * weight / total):
                return member
        # Only when rounding leaves no one below the bound, or none of these is on the ring.
        return self._least.choose(members, key, now)


def hashed(key: bytes) -> int:
    """64 bits that are the same in each process, unlike Python's own hash."""
    return int.from_bytes(blake2b(key, digest_size=8).digest(), "big")


def drawn(members: Weighted, number: float) -> int:
    """The index of the one that ``number`` (0.0 to below 1.0) falls on, when each has a share as its weight."""
    left = number * sum([weight for _, weight in members])
    for index, (_, weight) in enumerate(members):
        left -= weight
        if left < 0.0:
            return index
    return len(members) - 1  # rounding
