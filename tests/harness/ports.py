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
