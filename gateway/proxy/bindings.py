"""Listening sockets that are bound once, and known by the addresses that they really have.

A socket that is open serves every spelling of its address: one that was bound as ``localhost:0`` is the one that
``127.0.0.1:41234`` means from then on. So no address is bound twice, and none is let go between two configurations.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Collection, Iterable
from typing import Any, Final, Protocol

from gateway.config import places
from gateway.core.address import Address

_BACKLOG: Final = 4096

Name = tuple[int, tuple[Any, ...]]
"""The family of a socket, and the address that the kernel gave it. No two listening sockets have the same."""


class Binder(Protocol):
    """`Bindings`, in this process or in another."""

    async def open(self, address: Address) -> list[socket.socket]: ...

    async def keep(self, addresses: Collection[Address]) -> None: ...


class Bindings(Binder):
    """The owner of listening sockets. It gives out duplicates of their descriptors, which the receiver closes."""

    def __init__(self) -> None:
        self._bound: dict[Name, socket.socket] = {}
        self._names: dict[Address, tuple[Name, ...]] = {}
        """What each address stood for when it was opened."""
        self._lock = asyncio.Lock()
        self._closed = False

    async def open(self, address: Address) -> list[socket.socket]:
        """A listening socket for each address that ``address`` stands for; no host: all of IPv4 and IPv6.

        What is bound already is not bound again. Raises OSError with a sentence for its text, changing nothing.
        """
        async with self._lock:  # a look-up takes time, and two openings of one address must not bind it twice
            if address not in self._names:
                found = await _resolved(address)
                if self._closed:
                    raise OSError(f"listen: cannot listen on {address}: the gateway is stopping")
                self._names[address] = self._bind(address, found)
        return _duplicates([self._bound[name] for name in self._names[address]])

    async def keep(self, addresses: Collection[Address]) -> None:
        """Close what none of ``addresses`` stands for; these were opened before."""
        self._names = {address: names for address, names in self._names.items() if address in addresses}
        kept = {name for names in self._names.values() for name in names}
        for name in self._bound.keys() - kept:
            _end(self._bound.pop(name))

    def close(self) -> None:
        """Close everything, for good: the kernel refuses connections from here on."""
        self._closed = True
        self._names.clear()
        for sock in self._bound.values():
            _end(sock)
        self._bound.clear()

    def _bind(self, address: Address, found: Collection[Name]) -> tuple[Name, ...]:
        names: list[Name] = []
        opened: dict[Name, socket.socket] = {}
        try:
            for family, where in found:
                if (family, where) in self._bound:
                    names.append((family, where))
                    continue
                try:
                    sock = _listener(family, where)
                except OSError as error:
                    # No host means all addresses; a machine without IPv6 has none of that family.
                    if address.host or error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL) or len(found) == 1:
                        raise places.listen_failure("listen", str(where[0]), address.port, error) from None
                    continue
                opened[name_of(sock)] = sock
                names.append(name_of(sock))
        except BaseException:
            close(opened.values())
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


def _end(sock: socket.socket) -> None:
    """Stop listening, under whatever other descriptor and in whatever other process the socket is open."""
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


def _listener(family: int, where: tuple[Any, ...]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(where)
        sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock
