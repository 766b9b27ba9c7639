"""What event loops call by other types than we do: one place says that it is the same."""

from __future__ import annotations

import asyncio
from typing import cast


def as_protocol(own: object) -> asyncio.BaseProtocol:
    """A protocol of ours. It does not inherit from asyncio's, because compiled classes cannot."""
    return cast(asyncio.BaseProtocol, own)


def as_transport(given: object) -> asyncio.Transport:
    """A transport: uvloop's are not registered as `asyncio.Transport`, though they are, and a `TlsLayer` is one for the
    connection above it."""
    return cast(asyncio.Transport, given)
