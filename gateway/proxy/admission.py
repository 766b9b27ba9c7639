"""Which new connections are accepted, and which idle ones are closed to make room for them.

Every connection takes a descriptor, and its exchange takes a second one. Without a bound, one address could take them
all. The rules, from the mildest to the hardest:

    in use       what happens when one more connection comes
    below 90 %   it is accepted
    from 90 %    the client with most connections loses its oldest idle ones
    any          a client that holds more than nine times what is still free loses its oldest idle one; when it has none
                 and is the largest, the new connection is refused
    100 %        the oldest idle ones go, of the largest client first; then the new connection is refused

The third rule leaves room for others whatever one client does: alone it gets 90 % of all, and k such clients get
9/(1 + 9k) each. A client is an IPv4 address, or the /64 of an IPv6 address, because a /64 is what one subscriber gets.
Trusted proxies speak for many clients: they are counted, but they are no client, so only the last rule reaches them.

A connection is idle when no request of it is being served: it waits for a request, or for the rest of a head. All costs
are by connection and constant on average; nothing is done by request.
"""

from __future__ import annotations

import logging
import resource
import socket
from collections.abc import Iterator
from heapq import nsmallest
from typing import Protocol

from gateway.core.clock import Clock, monotonic
from gateway.core.limits import AUTO, Limits
from gateway.core.once_a_second import OnceASecond

_log = logging.getLogger("gateway")

RESERVED = 64
"""Descriptors that no connection gets: listeners, logs, the channel to the control process, files that are loaded."""
_MOST_DESCRIPTORS = 1 << 20
"""The value used for an unlimited RLIMIT_NOFILE."""
_SHARE = 9
"""A client may hold this many times the number of free connections."""
_SCAN_SHARE = 20
"""After a search for idle connections that found none, this many times its duration passes before the next one."""
_SCAN_PAUSE = 0.05
_PREFIX = 8
"""Bytes of an IPv6 address that name a client."""


class Idler(Protocol):
    """A client's connection, as this room sees it."""

    @property
    def idle_since(self) -> float:
        """When it became idle, on the monotonic clock; 0.0 while a request is being served."""
        ...

    def make_room(self) -> None:
        """Close now: it is idle."""
        ...


class Client:
    """One address, or one /64; or all trusted proxies together."""

    __slots__ = ("barren_until", "connections", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.connections: dict[Idler, None] = {}
        self.barren_until = 0.0
        """No idle connection was found; until this time no search is made."""


def client_of(host: str) -> str:
    """The text by which the connections of ``host`` are counted together.

    An IPv4 address; also of ``::ffff:192.0.2.1``, which an IPv6 socket shows. Of other IPv6 addresses the /64.
    """
    if ":" not in host:
        return host
    try:
        packed = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    except OSError:
        return host
    if packed[:12] == b"\0" * 10 + b"\xff\xff":
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    return socket.inet_ntop(socket.AF_INET6, packed[:_PREFIX] + bytes(16 - _PREFIX)) + "/64"


def descriptors() -> int:
    """How many descriptors this process may have open (the soft RLIMIT_NOFILE)."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_DESCRIPTORS if soft == resource.RLIM_INFINITY else min(soft, _MOST_DESCRIPTORS)


def room_in(descriptors: int) -> int:
    """The connections that so many descriptors suffice for: an exchange takes a second one for its upstream."""
    return max(1, (descriptors - RESERVED) // 2)


class Admission:
    """The list of open connections, by client. `limit` is never exceeded."""

    def __init__(self, clock: Clock = monotonic) -> None:
        self._clock = clock
        self.limit = room_in(descriptors())
        """Most connections."""
        self._per_client = 0
        self._clients: dict[str, Client] = {}
        self._by_size: dict[int, dict[Client, None]] = {}
        """Clients by the count of their connections."""
        self._largest = 0
        self._trusted = Client("trusted proxies")
        self._owner: dict[Idler, Client] = {}
        self._barren_until = 0.0
        self.refused = 0
        """Connections that were refused because too many were open."""
        self.refused_client = 0
        """Connections that were refused because their client had too many."""
        self.closed_idle = 0
        """Idle connections that were closed to make room."""
        self._throttle = OnceASecond(clock)

    def __len__(self) -> int:
        """Open connections."""
        return len(self._owner)

    def configure(self, limits: Limits) -> None:
        """Apply ``limits`` to the connections that come from now on."""
        usable = descriptors()
        room = room_in(usable)
        wanted = room if limits.max_connections in (AUTO, 0) else limits.max_connections
        if wanted > room:
            _log.warning(
                "limits.max_connections: %d needs %d descriptors, and this process may open %d: %d connections are "
                "accepted; raise the limit of open files (LimitNOFILE=, ulimit -n)",
                wanted,
                2 * wanted + RESERVED,
                usable,
                room,
            )
        self.limit = min(wanted, room)
        self._per_client = limits.max_connections_per_client

    def held_by(self, host: str) -> int:
        """Open connections of the client that ``host`` belongs to; those of trusted proxies do not count."""
        client = self._clients.get(client_of(host))
        return 0 if client is None else len(client.connections)

    def admits(self, host: str, *, trusted: bool) -> bool:
        """Whether one more connection of ``host`` is accepted. Closes idle ones to make room for it."""
        client = None if trusted else self._clients.get(client_of(host))
        held = 0 if client is None else len(client.connections)
        if client is not None and self._per_client and held >= self._per_client and not self._shrink(client):
            self.refused_client += 1
            self._tell(f"limits.max_connections_per_client is {self._per_client}, which {client.name} has open")
            return False
        if len(self._owner) * 10 < self.limit * 9:
            return True
        for largest in self._by_size.get(self._largest, ()):
            self._shrink(largest)
            break
        if len(self._owner) >= self.limit and not self.make_room():
            self.refused += 1
            self._tell(f"all of limits.max_connections are in use: {self.limit}, {self._largest} of them by one client")
            return False
        if (
            client is not None
            and held >= _SHARE * (self.limit - len(self._owner))
            and not self._shrink(client)
            and (held >= self._largest or not self.make_room())
        ):
            self.refused_client += 1
            self._tell(f"{client.name} has {held} open, and {len(self._owner)} of {self.limit} are in use")
            return False
        return True

    def opened(self, connection: Idler, host: str, *, trusted: bool) -> None:
        """``connection`` was admitted and is open from now on."""
        if trusted:
            client = self._trusted
        else:
            name = client_of(host)
            known = self._clients.get(name)
            client = self._clients[name] = Client(name) if known is None else known
            self._resize(client, len(client.connections), len(client.connections) + 1)
        client.connections[connection] = None
        self._owner[connection] = client

    def closed(self, connection: Idler) -> None:
        """``connection`` is over. Does nothing for one that is not in the list."""
        client = self._owner.pop(connection, None)
        if client is None:
            return
        del client.connections[connection]
        if client is not self._trusted:
            self._resize(client, len(client.connections) + 1, len(client.connections))
            if not client.connections:
                del self._clients[client.name]

    def replaced(self, before: Idler, connection: Idler) -> None:
        """``connection`` serves the socket of ``before`` from now on."""
        client = self._owner.pop(before, None)
        if client is not None:
            del client.connections[before]
            client.connections[connection] = None
            self._owner[connection] = client

    def make_room(self) -> bool:
        """Close the oldest idle connections of the largest client that has any; False when none has."""
        began = self._clock()
        if began < self._barren_until:
            return False
        for client in self._largest_first():
            if self._shrink(client):
                return True
        now = self._clock()
        self._barren_until = now + max(_SCAN_PAUSE, _SCAN_SHARE * (now - began))
        return False

    # -- inside

    def _largest_first(self) -> Iterator[Client]:
        for size in sorted(self._by_size, reverse=True):
            yield from list(self._by_size[size])
        yield self._trusted

    def _shrink(self, client: Client) -> bool:
        """Close the oldest idle connections of ``client``: one, or a few of many, so that a search pays for itself."""
        began = self._clock()
        if began < client.barren_until:
            return False
        idle = (
            (since, index, connection)
            for index, connection in enumerate(client.connections)
            if (since := connection.idle_since)
        )
        oldest = nsmallest(1 + len(client.connections) // 32, idle)
        if not oldest:
            now = self._clock()
            client.barren_until = now + max(_SCAN_PAUSE, _SCAN_SHARE * (now - began))
            return False
        for _, _, connection in oldest:
            self.closed(connection)
            connection.make_room()
        self.closed_idle += len(oldest)
        return True

    def _resize(self, client: Client, before: int, after: int) -> None:
        if before:
            same = self._by_size[before]
            del same[client]
            if not same:
                del self._by_size[before]
        if after:
            self._by_size.setdefault(after, {})[client] = None
        if after > self._largest or (before == self._largest and before not in self._by_size):
            self._largest = after  # a client that was alone at the top stays there

    def _tell(self, why: str) -> None:
        """In the process's log, once a second."""
        if (more := self._throttle.due()) is not None:
            _log.warning("a new connection was refused: %s%s", why, more)
