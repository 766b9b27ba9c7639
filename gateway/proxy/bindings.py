"""Listening sockets that are bound once, and known by the addresses that they really have.

A socket that is open serves every spelling of its address: one that was bound as ``localhost:0`` is the one that
``127.0.0.1:41234`` means from then on. So no address is bound twice, and none is let go between two configurations.

For several workers each address has a socket for each slot (SO_REUSEPORT, socket(7)): the kernel spreads connections
evenly over them, which one shared socket does not do.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, Protocol, TypedDict

from gateway.config import places
from gateway.core.address import Address

_BACKLOG: Final = 4096

Name = tuple[int, tuple[Any, ...]]
"""The family of a socket, and the address that the kernel gave it. No two listening sockets have the same."""


class Binder(Protocol):
    """`Bindings`, in this process or in another."""

    async def open(self, address: Address) -> list[socket.socket]: ...

    async def keep(self, addresses: Collection[Address]) -> None: ...


class KeptName(TypedDict):
    """An address, and the numbers of the rows in ``bound`` that it stands for."""

    host: str
    port: int
    bound: list[int]


class KeptBindings(TypedDict):
    """What `Bindings` consists of. ``bound``: a row of descriptors for each address, one for each slot; ``wanted``:
    hosts and ports by slot.
    """

    bound: list[list[int]]
    names: list[KeptName]
    wanted: list[tuple[int, list[tuple[str, int]]]]


class Bindings(Binder):
    """The owner of listening sockets. It gives out duplicates of their descriptors, which the receiver closes.

    ``slots``: how many sockets each address has. An address stays open while one slot wants it. ``kept``: the sockets
    of the program before this one.
    """

    def __init__(self, slots: int = 1, kept: KeptBindings | None = None) -> None:
        self._slots = slots
        self._bound: dict[Name, Sequence[socket.socket]] = {}
        self._names: dict[Address, tuple[Name, ...]] = {}
        """What each address stood for when it was opened."""
        self._wanted: dict[int, frozenset[Address]] = {}
        """What each slot has kept last."""
        self._lock = asyncio.Lock()
        self._closed = False
        if kept is not None:
            self._take(kept)

    def kept(self) -> KeptBindings:
        """What the next program needs."""
        order = {name: number for number, name in enumerate(self._bound)}
        return {
            "bound": [[sock.fileno() for sock in sockets] for sockets in self._bound.values()],
            "names": [
                {"host": address.host, "port": address.port, "bound": [order[name] for name in names]}
                for address, names in self._names.items()
            ],
            "wanted": [(slot, [(each.host, each.port) for each in wanted]) for slot, wanted in self._wanted.items()],
        }

    def _take(self, kept: KeptBindings) -> None:
        bound = [[socket.socket(fileno=descriptor) for descriptor in row] for row in kept["bound"]]
        for sockets in bound:
            for sock in sockets:
                # Also for Python: else `dup` would make it blocking, in each process that has it, and the accept of one
                # whose connection another process has taken would never return.
                sock.setblocking(False)
        names = [name_of(sockets[0]) for sockets in bound]
        self._bound.update(zip(names, bound, strict=True))
        for each in kept["names"]:
            self._names[Address(each["host"], each["port"])] = tuple(names[number] for number in each["bound"])
        for slot, wanted in kept["wanted"]:
            self._wanted[slot] = frozenset(Address(host, port) for host, port in wanted)

    async def open(self, address: Address, slot: int = 0) -> list[socket.socket]:
        """The slot's listening socket for each address that ``address`` stands for; no host: all of IPv4 and IPv6.

        What is bound already is not bound again. Raises OSError with a sentence for its text, changing nothing.
        """
        async with self._lock:  # a look-up takes time, and two openings of one address must not bind it twice
            if address not in self._names:
                found = await _resolved(address)
                if self._closed:
                    raise OSError(f"listen: cannot listen on {address}: the gateway is stopping")
                self._names[address] = self._bind(address, found)
        return _duplicates([self._bound[name][slot] for name in self._names[address]])

    async def keep(self, addresses: Collection[Address], slot: int = 0) -> None:
        """Close what neither ``addresses`` nor those of another slot stand for; these were opened before."""
        self._wanted[slot] = frozenset(addresses)
        wanted = frozenset().union(*self._wanted.values())
        self._names = {address: names for address, names in self._names.items() if address in wanted}
        kept = {name for names in self._names.values() for name in names}
        for name in self._bound.keys() - kept:
            _end(self._bound.pop(name))

    def close(self) -> None:
        """Close everything, for good: the kernel refuses connections from here on."""
        self._closed = True
        self._names.clear()
        for sockets in self._bound.values():
            _end(sockets)
        self._bound.clear()

    def _bind(self, address: Address, found: Collection[Name]) -> tuple[Name, ...]:
        names: list[Name] = []
        opened: dict[Name, Sequence[socket.socket]] = {}
        try:
            for family, where in found:
                if (family, where) in self._bound:
                    names.append((family, where))
                    continue
                try:
                    sockets = _listeners(family, where, self._slots)
                except OSError as error:
                    # No host means all addresses; a machine without IPv6 has none of that family.
                    if address.host or error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL) or len(found) == 1:
                        raise places.listen_failure("listen", str(where[0]), address.port, error) from None
                    continue
                opened[name_of(sockets[0])] = sockets
                names.append(name_of(sockets[0]))
        except BaseException:
            close(sock for sockets in opened.values() for sock in sockets)
            raise
        self._bound.update(opened)
        return tuple(names)


def name_of(sock: socket.socket) -> Name:
    """The family and the address of a listening socket, by which it is the same under any descriptor."""
    return sock.family, sock.getsockname()


def close(sockets: Iterable[socket.socket]) -> None:
    """Close these descriptors."""
    for sock in sockets:
        sock.close()


def _end(sockets: Iterable[socket.socket]) -> None:
    """Stop listening, under whatever other descriptor and in whatever other process the sockets are open."""
    for sock in sockets:
        with contextlib.suppress(OSError):  # a system that only closes
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()


def _duplicates(sockets: Iterable[socket.socket]) -> list[socket.socket]:
    made: list[socket.socket] = []
    try:
        made.extend(sock.dup() for sock in sockets)
    except BaseException:
        close(made)
        raise
    return made


async def _resolved(address: Address) -> Collection[Name]:
    """Families and socket addresses that the host of ``address`` has. Raises OSError with a sentence for its text."""
    try:
        found = _look_up(address, socket.AI_NUMERICHOST)  # no thread for what is no name
    except socket.gaierror:
        try:
            found = await asyncio.to_thread(_look_up, address, 0)
        except OSError as error:
            raise places.listen_failure("listen", address.host, address.port, error) from None
    return dict.fromkeys((family, where) for family, _, _, _, where in found)


def _look_up(address: Address, flags: int) -> list[tuple[Any, ...]]:
    """Raises `socket.gaierror`."""
    try:
        return [
            *socket.getaddrinfo(
                address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | flags
            )
        ]
    except UnicodeError:  # a name that cannot be in the DNS at all
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None


def _listeners(family: int, where: tuple[Any, ...], slots: int) -> Sequence[socket.socket]:
    """Sockets that listen on one address, one for each slot.

    The first is bound without SO_REUSEPORT, so that an address that another program of the same user shares in this way
    is in use for it. It shares the address afterwards, because the kernel looks at the option again for each bind.
    """
    sockets: list[socket.socket] = []
    try:
        for slot in range(slots):
            sockets.append(_socket(family))
            if slot == 1:
                sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if slot:
                sockets[slot].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sockets[slot].bind(sockets[0].getsockname() if slot else where)
        for sock in sockets:
            sock.listen(_BACKLOG)
    except BaseException:
        close(sockets)
        raise
    return sockets


def _socket(family: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return sock
