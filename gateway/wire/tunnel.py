"""Two streams after a switch of protocols: what each of them reads, the other one writes.

    OPEN --one side ends--> INWARD_ENDED or OUTWARD_ENDED --the other side ends--> ENDED

The ends are streams, of whatever protocol: a connection of HTTP/1.1 after its 101, or one stream of a connection of
HTTP/2 (RFC 8441). Bytes are relayed as `gateway.core.stream` says: in the callbacks of the event loop, and a side that
takes nothing holds the other one, so that no more than one read of each waits here.

The end of one side is passed on behind its last byte, and the other side may go on: for `FIN_SECONDS`, because in most
protocols nothing but a farewell follows.
"""

from __future__ import annotations

import asyncio
import enum
import os
from collections.abc import Callable
from time import monotonic
from typing import Final

from gateway.core.stream import ClientStream, TunnelEnd
from gateway.errors import TUNNEL_IDLE_TIMEOUT, UPSTREAM_RESET, GatewayError
from gateway.wire.passage import NOWHERE, Way
from gateway.wire.state_table import following, timers_in, transitions_in
from gateway.wire.timer import LazyTimer
from gateway.wire.websocket import GOING_AWAY, Frames, close_frame

FIN_SECONDS = 10.0
"""How long one side may go on when the other one has ended. HAProxy has ``timeout client-fin`` for this."""
_LOOK_SECONDS = 10.0
"""Between two looks at a side that is slow to take what came."""


class TunnelState(enum.Enum):
    OPEN = enum.auto()
    DRAINING = enum.auto()
    """As OPEN, and the gateway takes leave of both sides between two frames."""
    INWARD_ENDED = enum.auto()
    """The endpoint has seen the end of the caller's bytes."""
    OUTWARD_ENDED = enum.auto()
    """The caller has seen the end of the endpoint's bytes."""
    ENDED = enum.auto()


class TunnelEvent(enum.Enum):
    LAST_IN = enum.auto()
    """The endpoint has taken the caller's last byte, and the end behind it."""
    LAST_OUT = enum.auto()
    """The caller has taken the endpoint's last byte, and the end behind it."""
    CALLER_LOST = enum.auto()
    """The caller's stream has broken off."""
    ENDPOINT_LOST = enum.auto()
    """The endpoint's stream has broken off."""
    EXPIRED = enum.auto()
    """The timer of the state."""
    DRAIN = enum.auto()
    """The gateway goes down."""
    CUT = enum.auto()
    """The exchange is to end now."""


_TABLE = """
               OPEN           DRAINING       INWARD_ENDED  OUTWARD_ENDED ENDED
timer          idle           idle           fin           fin           -
LAST_IN        INWARD_ENDED   INWARD_ENDED   .             ENDED         .
LAST_OUT       OUTWARD_ENDED  OUTWARD_ENDED  ENDED         .             .
CALLER_LOST    ENDED          ENDED          ENDED         ENDED         .
ENDPOINT_LOST  ENDED          ENDED          ENDED         ENDED         .
EXPIRED        ENDED          ENDED          ENDED         ENDED         -
DRAIN          DRAINING       .              .             .             .
CUT            ENDED          ENDED          ENDED         ENDED         .
"""

TUNNEL: Final = transitions_in(_TABLE, TunnelState, TunnelEvent)
TUNNEL_TIMERS: Final = timers_in(_TABLE, TunnelState)
ENDINGS: Final = {
    TunnelEvent.LAST_IN: "client",
    TunnelEvent.LAST_OUT: "upstream",
    TunnelEvent.CALLER_LOST: "client",
    TunnelEvent.ENDPOINT_LOST: "upstream",
    TunnelEvent.EXPIRED: "idle",
    TunnelEvent.CUT: "cut",
}
"""The word of `TUNNEL_ENDS` for the event that ends what was open."""

# Bound once: Python 3.11 takes 0.13 us to look a member up.
OPEN, DRAINING, INWARD_ENDED, OUTWARD_ENDED, ENDED = TunnelState


class Tunnel:
    """A `gateway.core.stream.Tunnel`."""

    __slots__ = (
        "_error",
        "_far",
        "_gone_at",
        "_idle",
        "_leaving",
        "_near",
        "_over",
        "_timer",
        "_waiting",
        "ending",
        "inward",
        "outward",
        "state",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, near: TunnelEnd, far: ClientStream, *, framed: bool) -> None:
        """``near``: the caller's stream, ``far``: the endpoint's.

        ``framed``: the bytes are frames of WebSocket, so that a farewell can be put between them.
        """
        self.state = OPEN
        self._near = near
        self._far: ClientStream | None = far
        self.inward = Way(self, near, far, Frames(masked=True) if framed else None)
        self.outward = Way(self, far, near, Frames(masked=False) if framed else None)
        self.ending = ""
        self._idle = 0.0
        """Seconds without a byte after which it ends, while it is open; 0: no bound."""
        self._leaving = False
        self._waiting = 0
        """Bytes that both sides had yet to take, when that was looked at since the last byte came."""
        self._gone_at = 0.0
        self._error: GatewayError | None = None
        self._over: asyncio.Future[None] = loop.create_future()
        self._timer = LazyTimer(loop, self._on_timeout)

    # -- as gateway.core.stream.Tunnel

    @property
    def clean(self) -> bool:
        return self.inward.closed and self.outward.closed

    async def over(self, idle: float) -> None:
        """As `gateway.core.stream.Tunnel.over`."""
        if idle and self._is_open and not self._leaving:
            self._idle = idle
            self._timer.arm(monotonic() + idle)
        await self._over
        if self._error is not None:
            raise self._error

    def when_over(self, call: Callable[[], None]) -> None:
        """As `gateway.core.stream.Tunnel.when_over`."""
        self._over.add_done_callback(lambda _: call())

    def caller_lost(self) -> bool:
        """As `gateway.core.stream.Tunnel.caller_lost`."""
        broken = self._is_open and not self.clean
        self._gone_at = monotonic()
        self.move(TunnelEvent.CALLER_LOST)
        return broken

    def caller_leaves(self) -> None:
        """As `gateway.core.stream.Tunnel.caller_leaves`: its last bytes may take `FIN_SECONDS` without a move."""
        if self._is_open and not self._leaving:
            self._leaving = True
            self._idle = min(FIN_SECONDS, self._idle or FIN_SECONDS)
            self._timer.arm(monotonic() + self._idle)

    def endpoint_lost(self) -> None:
        """As `gateway.core.stream.Tunnel.endpoint_lost`."""
        if self._is_open and not self.clean:
            self._error = GatewayError(UPSTREAM_RESET)
        self.move(TunnelEvent.ENDPOINT_LOST)

    def drain(self) -> None:
        """Say Close 1001 both ways, unless one side takes its leave already (RFC 6455 7.4.1)."""
        if not self.inward.closed and not self.outward.closed and self.move(TunnelEvent.DRAIN):
            self.outward.say(close_frame(GOING_AWAY))
            self.inward.say(close_frame(GOING_AWAY, os.urandom(4)))

    def cut(self, gone_at: float) -> None:
        """As `gateway.core.stream.Tunnel.cut`."""
        self._gone_at = gone_at
        self.move(TunnelEvent.CUT)

    # -- what its passages call

    def touch(self) -> None:
        """A byte has come."""
        if self._idle and self._timer.expires_at:
            self._timer.expires_at = monotonic() + self._idle  # not before what it was: the timer may stay
            self._waiting = 0

    def passed(self, way: Way) -> None:
        """All that came by ``way``, and its end, was taken."""
        self.move(TunnelEvent.LAST_IN if way is self.inward else TunnelEvent.LAST_OUT)

    def said_close(self, way: Way) -> None:
        """A Close frame came by ``way``."""
        (self.outward if way is self.inward else self.inward).closed_behind()

    # -- inside

    @property
    def _is_open(self) -> bool:
        return self.state is OPEN or self.state is DRAINING

    def move(self, event: TunnelEvent) -> bool:
        """Follow the table; False when the state ignores ``event``."""
        before = self.state
        after = following(TUNNEL[event], before)
        if after is before:
            return False
        self.state = after
        if before is OPEN or before is DRAINING:
            self._note(event)
        if after is ENDED:
            self._end()
        elif TUNNEL_TIMERS[after] == "fin":
            self._idle = 0.0
            self._timer.arm(monotonic() + FIN_SECONDS)
        return True

    def _note(self, event: TunnelEvent) -> None:
        """What is open ends, or is about to."""
        word = ENDINGS.get(event, "")
        if event is TunnelEvent.CUT or event is TunnelEvent.EXPIRED:  # not in peace, whatever was said before
            self.ending = "client" if self._leaving else word
        elif not self.ending:
            self.ending = word

    def _on_timeout(self) -> None:
        if self._is_open:
            if self._still_moves():
                self._timer.arm(monotonic() + min(_LOOK_SECONDS, self._idle))
                return
            if not self._leaving:
                self._error = GatewayError(TUNNEL_IDLE_TIMEOUT)
        self.move(TunnelEvent.EXPIRED)

    def _still_moves(self) -> bool:
        """Whether bytes are on their way that came before: they wait for a side which takes them slowly.

        Nothing has come since, so that their number can only become smaller. The first look may see a side that takes
        nothing at all; the second one tells.
        """
        before = self._waiting
        self._waiting = now = self._near.waiting() + (0 if self._far is None else self._far.waiting())
        return now > 0 and (not before or now < before)

    def _end(self) -> None:
        self._timer.close()
        far, self._far = self._far, None
        self._near = NOWHERE
        self.inward.forget()
        self.outward.forget()
        if far is not None:
            far.abandon(self._gone_at)
        if not self._over.done():
            self._over.set_result(None)
