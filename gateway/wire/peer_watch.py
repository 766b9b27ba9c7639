"""Notices a caller that leaves while nothing is read from it, which the event loop does not.

Made when a connection first stops reading, because most connections never do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.wire.hangup import HangupWatch

_HOLD_SECONDS = 0.05
"""A pause in reading that ends sooner is not worth the system calls of watching the peer."""


class PeerWatch:
    """Calls ``on_left`` once when the peer has closed or reset its side between `begin` and `end`."""

    __slots__ = ("_descriptor", "_hangups", "_loop", "_on_left", "_probe", "_transport")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        hangups: HangupWatch,
        transport: asyncio.Transport,
        on_left: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._hangups = hangups
        self._transport = transport
        self._on_left = on_left
        self._probe: asyncio.TimerHandle | None = None
        self._descriptor = -1
        """By which the peer is watched."""

    def begin(self) -> None:
        """Nothing is read from now on."""
        self._probe = self._loop.call_later(_HOLD_SECONDS, self._watch)

    def end(self) -> None:
        """The event loop reads again, or the connection has closed."""
        if self._probe is not None:
            self._probe.cancel()
            self._probe = None
        if self._descriptor >= 0:
            self._hangups.forget(self._descriptor, self)
            self._descriptor = -1

    def peer_left(self) -> None:
        """As `gateway.wire.hangup.Held`."""
        self._descriptor = -1
        self._on_left()

    def _watch(self) -> None:
        self._probe = None
        descriptor = self._transport.get_extra_info("socket").fileno()
        if self._hangups.watch(descriptor, self):
            self._descriptor = descriptor
        else:  # the kernel may have room later
            self._probe = self._loop.call_later(_HOLD_SECONDS, self._watch)
