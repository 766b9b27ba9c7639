"""A port that is known before any process listens on it, and that no other process gets meanwhile."""

from __future__ import annotations

import socket

from gateway.core.address import Address


def reserved(address: str) -> socket.socket:
    """A socket bound to ``host:port`` (port 0: any that is free) that never listens. Raises OSError when it is in use.

    As long as it is open the kernel gives its port to no process that binds to any port, or that dials out; a server
    that asks for this very one may still listen on it (SO_REUSEADDR on both, socket(7)).
    """
    host, _, port = address.rpartition(":")
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host.strip("[]"), int(port)))
    except BaseException:
        bound.close()
        raise
    return bound


def address_of(bound: socket.socket) -> str:
    """``host:port`` of a socket, as a URL has it."""
    host, port = bound.getsockname()[:2]
    return str(Address(host, port))
