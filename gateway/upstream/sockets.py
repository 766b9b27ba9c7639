"""TCP connections to an endpoint, by its addresses: the race between them, and how each attempt failed."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import Any, cast

import aiohappyeyeballs
from aiohappyeyeballs import AddrInfoType

_KEEPALIVE_SECONDS = 30


class Attempts:
    """The addresses that one dial tried, and how each failed: `aiohappyeyeballs` keeps no more than a text of it.

    To `aiohappyeyeballs` it is the socket factory and the event loop, of which it uses ``sock_connect`` alone.
    """

    __slots__ = ("_loop", "failures")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.failures: list[OSError] = []

    async def first_of(
        self, addresses: list[AddrInfoType], delay: float | None, interleave: int | None
    ) -> socket.socket:
        """A TCP connection to the first of ``addresses`` that accepts one (RFC 8305). Raises OSError."""
        if len(addresses) > 1:
            return await aiohappyeyeballs.start_connection(
                addr_infos=addresses,
                happy_eyeballs_delay=delay,
                interleave=interleave,
                loop=cast(asyncio.AbstractEventLoop, self),
                socket_factory=self._socket,
            )
        sock = self._socket(addresses[0])
        try:
            sock.setblocking(False)
            await self.sock_connect(sock, addresses[0][4])
        except BaseException:
            sock.close()
            raise
        return sock

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        # Not loop.sock_connect: in uvloop it costs more than all the rest of a dial.
        failure = sock.connect_ex(address)
        if failure == errno.EINPROGRESS:
            connected = self._loop.create_future()
            try:
                self._loop.add_writer(sock, _resolve, connected)
            except OSError as error:
                self.failures.append(error)
                raise
            try:
                await connected
            finally:
                self._loop.remove_writer(sock)
            failure = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failure:
            refusal = OSError(failure, os.strerror(failure))
            self.failures.append(refusal)
            raise refusal

    def _socket(self, addr_info: tuple[Any, ...]) -> socket.socket:
        try:
            return hardened_socket(addr_info)
        except OSError as error:
            self.failures.append(error)
            raise


def hardened_socket(addr_info: tuple[Any, ...]) -> socket.socket:
    """A socket whose dead peers are noticed: TCP keep-alive after 30 s of silence."""
    family, kind, protocol, *_ = addr_info
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_SECONDS)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_SECONDS)
    except BaseException:
        made.close()
        raise
    return made


def addr_info(host: str, port: int) -> AddrInfoType:
    """``host`` is an IP address; the zone behind an IPv6 one is a name or a number (RFC 4007 11). Raises OSError."""
    address, _, zone = host.partition("%")
    if ":" not in address:
        return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)
    try:
        scope = int(zone) if zone.isdigit() else socket.if_nametoindex(zone) if zone else 0
    except OSError:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV)) from None
    return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, scope)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
