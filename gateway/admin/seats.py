"""Limits the connections of the admin listener: idle connections never keep a new caller out.

A connection costs its client nothing, so an unauthenticated client can open any number. When all seats are taken, the
connection that has waited longest for its client is cut: first one that no superuser has used, of the client with the
most connections. A connection whose request the gateway is serving keeps its seat.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from gateway.core.clock import Clock, monotonic

MOST: Final = 256
"""The control process needs descriptors for the database and for its workers."""
RESERVED: Final = 32
"""Seats that are reserved for this machine: its health checks and its commands."""
MOST_OF_CLIENT: Final = 96
"""Limit for one address that is not of this machine."""


def is_loopback(host: str) -> bool:
    """Whether ``host`` is an address of this machine. An empty one is the peer of a Unix socket."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0]) if host else None
    except ValueError:
        return False
    if address is None:
        return True
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


@dataclass(slots=True, eq=False)
class Seat:
    """One connection. ``client``: the peer's address; ``cut`` ends the connection at once."""

    client: str
    cut: Callable[[], object]
    waits_since: float | None = 0.0
    """Since when the gateway waits for the client; None: it serves a request."""
    known: bool = False
    """A superuser logged in, or sent a token, on this connection."""
    local: bool = field(init=False)

    def __post_init__(self) -> None:
        self.local = is_loopback(self.client)


class Seats:
    """All connections of a listener."""

    def __init__(
        self,
        most: int = MOST,
        reserved: int = RESERVED,
        most_of_client: int = MOST_OF_CLIENT,
        clock: Clock = monotonic,
    ) -> None:
        self._most = most
        self._reserved = reserved
        self._most_of_client = most_of_client
        self._clock = clock
        self._taken: set[Seat] = set()
        self._of_client: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._taken)

    def taken(self, client: str, cut: Callable[[], object]) -> Seat | None:
        """A seat for a new connection of ``client``; None when there is no room. ``cut`` ends the connection."""
        seat = Seat(client, cut)
        return seat if self.take(seat) else None

    def take(self, seat: Seat) -> bool:
        """False when there is no room: every connection that could be cut for this one has a request running."""
        if not seat.local and self._of_client[seat.client] >= self._most_of_client:
            if not self._free(seat.client):
                return False
        elif len(self._taken) >= (self._most if seat.local else self._most - self._reserved) and not self._free():
            return False
        seat.waits_since = self._clock()
        self._taken.add(seat)
        self._of_client[seat.client] += 1
        return True

    def leave(self, seat: Seat) -> None:
        """The connection has closed. No effect for one without a seat."""
        if seat in self._taken:
            self._taken.remove(seat)
            self._of_client[seat.client] -= 1
            if not self._of_client[seat.client]:
                del self._of_client[seat.client]

    def waits(self, seat: Seat) -> None:
        """From now on the next step is the client's."""
        seat.waits_since = self._clock()

    def _free(self, client: str | None = None) -> bool:
        """Cut a connection, of ``client`` or of any client; False when there is none to cut."""
        victim: Seat | None = None
        best: tuple[bool, int, float] | None = None
        for seat in self._taken:
            if seat.waits_since is None or (client is not None and seat.client != client):
                continue
            rank = (seat.known, -self._of_client[seat.client], seat.waits_since)
            if best is None or rank < best:
                victim, best = seat, rank
        if victim is None:
            return False
        self.leave(victim)
        victim.cut()
        return True
