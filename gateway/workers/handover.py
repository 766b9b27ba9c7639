"""The way of idle connections of callers from a worker that is replaced to the process that takes over.

Each slot has one pair of Unix sockets, which the supervisor holds and every worker of the slot inherits. The old
process writes connections to one end, and the new one reads them from the other: a packet for each, with its
descriptor (SCM_RIGHTS, unix(7)). What the new process has not read when it dies stays in the pair for the next one. So
no process has to answer another, and the death of one loses only what it had taken.

The caller notices nothing: a connection stays open as long as one process or one packet has a descriptor of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from typing import Final

_PER_TURN: Final = 64
"""Connections taken per turn of the event loop: callers that are served already do not wait for all of them."""
_PACKET: Final = b"c"


def pair() -> tuple[socket.socket, socket.socket]:
    """The ends that give and that take. Packets, so that each descriptor comes with its own byte; with a connection
    between them, because the kernel bounds the queue of others to a few packets (net.unix.max_dgram_qlen).
    """
    giving, taking = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    giving.setblocking(False)
    taking.setblocking(False)
    return giving, taking


class Handover:
    """A worker's ends of the pair of its slot, which are closed with it."""

    def __init__(self, giving: socket.socket, taking: socket.socket) -> None:
        self._giving = giving
        self._taking = taking
        self._takes = False
        self.given = 0
        """Connections that went to the other process."""

    def give(self, descriptor: int) -> bool:
        """Put a connection into the pair; the caller of this closes its own descriptor. False: there is no room now."""
        try:
            socket.send_fds(self._giving, [_PACKET], [descriptor])
        except OSError:  # the queue is full, or too many descriptors of this user are in queues (ETOOMANYREFS)
            return False
        self.given += 1
        return True

    def take(self, adopt: Callable[[socket.socket], object]) -> None:
        """Call ``adopt`` with each connection that comes, from now on; it owns the socket. A second call is ignored."""
        if not self._takes:
            self._takes = True
            asyncio.get_running_loop().add_reader(self._taking.fileno(), self._read, adopt)

    def stop(self) -> None:
        """Take no more: what comes is for another process."""
        if self._takes:
            self._takes = False
            asyncio.get_running_loop().remove_reader(self._taking.fileno())

    def close(self) -> None:
        self.stop()
        self._giving.close()
        self._taking.close()

    def _read(self, adopt: Callable[[socket.socket], object]) -> None:
        for _ in range(_PER_TURN):
            try:
                packet, descriptors, _, _ = socket.recv_fds(self._taking, len(_PACKET), 1)
            except (BlockingIOError, InterruptedError):
                return
            if not packet:  # the supervisor has closed its ends, and no other process of the slot runs
                self.stop()
                return
            for descriptor in descriptors:  # none: this process has too many open, and the kernel has closed it
                os.set_inheritable(descriptor, False)
                sock = socket.socket(fileno=descriptor)
                sock.setblocking(False)
                with contextlib.ExitStack() as stack:
                    stack.callback(sock.close)
                    adopt(sock)
                    stack.pop_all()
