"""Ports for servers that are told theirs before they start."""

from __future__ import annotations

import socket

from gateway.demo.ports import reserved

_held: list[socket.socket] = []


def reserved_port() -> int:
    """A port of 127.0.0.1 for one server; to the end of this process nobody gets it by chance."""
    bound = reserved("127.0.0.1:0")
    _held.append(bound)
    return int(bound.getsockname()[1])


def beside(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """A socket that keeps ``port`` (0: one that is free everywhere) on all addresses, and one bound to it on ``host``.

    The first lets only servers that ask for this very port listen on other addresses. Raises OSError.
    """
    kept = reserved("0.0.0.0:0" if port == 0 else f"{host}:{port}")
    try:
        return kept, reserved(f"{host}:{kept.getsockname()[1]}")
    except OSError:
        kept.close()
        raise
