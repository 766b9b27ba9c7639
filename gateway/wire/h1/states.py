"""The states of both kinds of HTTP/1.1 connections, as tables: what each event means in each state.

`gateway.wire.state_table` has the notation. The row EXPIRED says what the end of a state's timer means. A test drives
real connections through every cell.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Final

from gateway.core.limits import Limits
from gateway.wire.state_table import timers_in, transitions_in

LINGER_SECONDS = 2.0


class ServerState(enum.Enum):
    """Of a connection of a caller."""

    NEW = enum.auto()
    """Nothing has come yet."""
    IDLE = enum.auto()
    """A response was taken, and no byte of a next request has come."""
    HEAD = enum.auto()
    """A part of a head has come."""
    SERVING = enum.auto()
    """An exchange runs. What it waits for has its own bounds."""
    RECEIVING = enum.auto()
    """As SERVING, and the body of the request is relayed."""
    HELD = enum.auto()
    """As RECEIVING, but the endpoint takes nothing. The endpoint's stream bounds that time."""
    FLUSHING = enum.auto()
    """The exchange is over, and the caller has yet to take the response. `StallWatch` bounds it."""
    DRAINING = enum.auto()
    """The rest of a body that no one takes is read, to reach the next request."""
    LINGERING = enum.auto()
    """The last response is sent, and what the caller still sends is dropped. A close with unread bytes makes the kernel
    send a RST, which can destroy a response that is still on its way (RFC 9112 9.6)."""
    TUNNEL = enum.auto()
    """The endpoint has switched protocols: what is read belongs to a tunnel, which has a timer and states of its own
    (`gateway.wire.tunnel`)."""
    CLOSED = enum.auto()
    """The transport is closed, or about to be."""


class ServerEvent(enum.Enum):
    PART = enum.auto()
    """Bytes that do not complete what the state waits for."""
    WHOLE = enum.auto()
    """Bytes that complete it: a head, good or bad; a body."""
    EXPIRED = enum.auto()
    """The timer of the state."""
    STALLED = enum.auto()
    """The caller takes nothing of what is written, or too little."""
    LEFT = enum.auto()
    """The caller was seen to have left, while nothing is read or bytes wait for it."""
    EOF = enum.auto()
    """The caller sends no more. The transport closes by itself as soon as all is written."""
    LOST = enum.auto()
    """The transport has closed."""
    SWEPT = enum.auto()
    """A drain closes what is idle."""
    CUT = enum.auto()
    """The connection is to end now."""
    PIPED = enum.auto()
    """The body of the request is relayed from now on."""
    HOLD = enum.auto()
    """The endpoint takes no more of it."""
    RESUME = enum.auto()
    """The endpoint takes it again."""
    STOPPED = enum.auto()
    """No one takes more of it."""
    SWITCH = enum.auto()
    """The endpoint has switched to the protocol that the caller asked for."""
    FLUSH = enum.auto()
    """The exchange is over before the caller has taken the response. It is followed by one of the next four."""
    NEXT = enum.auto()
    """The response is taken, the request is read, the connection stays."""
    REST = enum.auto()
    """The same, but a small rest of the request is to come."""
    LINGER = enum.auto()
    """The response is taken, the connection ends, and the caller may be sending."""
    CLOSE = enum.auto()
    """The response is taken, the connection ends, and all that was sent is read."""


_SERVER = """
         NEW        IDLE      HEAD      SERVING   RECEIVING HELD      FLUSHING  DRAINING  LINGERING TUNNEL    CLOSED
timer    first_byte keepalive header    -         body      -         -         body      linger    -         -
PART     HEAD       HEAD      .         .         .         .         .         .         .         .         .
WHOLE    SERVING    SERVING   SERVING   .         SERVING   .         .         IDLE      .         .         .
EXPIRED  CLOSED     CLOSED    SERVING   -         SERVING   -         -         CLOSED    CLOSED    -         -
STALLED  CLOSED     CLOSED    CLOSED    CLOSED    CLOSED    CLOSED    CLOSED    CLOSED    CLOSED    CLOSED    .
LEFT     .          .         .         CLOSED    CLOSED    CLOSED    CLOSED    .         .         .         .
EOF      .          .         .         .         .         .         .         .         .         .         .
LOST     CLOSED     CLOSED    CLOSED    CLOSED    CLOSED    CLOSED    CLOSED    CLOSED    CLOSED    CLOSED    .
SWEPT    CLOSED     CLOSED    .         .         .         .         .         .         .         .         .
CUT      CLOSED     CLOSED    CLOSED    CLOSED    CLOSED    CLOSED    CLOSED    CLOSED    CLOSED    CLOSED    .
PIPED    -          -         -         RECEIVING -         -         -         -         -         -         .
HOLD     .          .         .         .         HELD      .         .         .         .         .         .
RESUME   .          .         .         .         .         RECEIVING .         .         .         .         .
STOPPED  .          .         .         .         SERVING   SERVING   .         .         .         .         .
SWITCH   -          -         -         TUNNEL    -         -         -         -         -         -         .
FLUSH    -          -         -         FLUSHING  -         -         -         -         -         -         -
NEXT     -          -         -         IDLE      -         -         IDLE      -         -         -         -
REST     -          -         -         DRAINING  -         -         DRAINING  -         -         -         -
LINGER   -          -         -         LINGERING -         -         LINGERING LINGERING -         LINGERING -
CLOSE    -          -         -         CLOSED    -         -         CLOSED    CLOSED    -         CLOSED    -
"""

Bound = Callable[[Limits], float]
_SERVER_BOUNDS: Final[dict[str, Bound]] = {
    "first_byte": lambda limits: limits.first_byte_timeout or limits.keepalive_timeout or limits.header_timeout,
    "keepalive": lambda limits: limits.keepalive_timeout,
    "header": lambda limits: limits.header_timeout,
    "body": lambda limits: limits.body_timeout,
    "linger": lambda limits: LINGER_SECONDS,
}


class ClientState(enum.Enum):
    """Of a connection to an endpoint."""

    IDLE = enum.auto()
    HEAD = enum.auto()
    """A request was sent, or is being sent; the head of its response is to come. Its exchange sets how long that may
    take."""
    STALLED = enum.auto()
    """As HEAD, and the endpoint does not take the body of the request."""
    BODY = enum.auto()
    HELD = enum.auto()
    """As BODY, but the caller takes nothing. That is no fault of the endpoint, so its timer stops: the caller's stream
    bounds the time."""
    DONE = enum.auto()
    """The response has ended; the exchange has yet to `release` the connection."""
    TUNNEL = enum.auto()
    """The endpoint has switched protocols: what is read belongs to a tunnel, which bounds the time. `release` leaves
    the connection to it."""
    BROKEN = enum.auto()
    """Something went wrong: the connection is closed and never used again."""
    CLOSED = enum.auto()
    """The endpoint closed it while it was idle, and nothing was wrong with it."""


class ClientEvent(enum.Enum):
    SEND = enum.auto()
    """A request begins."""
    PART = enum.auto()
    """Bytes that complete neither a final head nor a body; interim responses."""
    BEGIN = enum.auto()
    """Bytes that complete a final head; the body is to come."""
    END = enum.auto()
    """Bytes that complete the response."""
    BAD = enum.auto()
    """Bytes against the rules of HTTP/1.1."""
    EXPIRED = enum.auto()
    """The timer of the state."""
    EOF = enum.auto()
    """The endpoint ended its bytes, and where a body goes until then, this was its end."""
    LOST = enum.auto()
    """The transport has closed."""
    FULL = enum.auto()
    """The endpoint takes no more of the request's body."""
    TAKEN = enum.auto()
    """The endpoint takes it again."""
    EXPECT = enum.auto()
    """The exchange sets how long the head may take from now on."""
    HOLD = enum.auto()
    """The caller takes no more of the response's body."""
    RESUME = enum.auto()
    """The caller takes it again."""
    SWITCH = enum.auto()
    """Bytes that complete a 101 to a request that asked for it."""
    KEEP = enum.auto()
    """The exchange is over, and the connection is fit for another."""
    DROP = enum.auto()
    """The exchange is over, and the connection is not fit for another."""
    FAIL = enum.auto()
    """An error ends the request, or its exchange is cut."""


_CLIENT = """
         IDLE    HEAD    STALLED BODY    HELD    DONE    TUNNEL  BROKEN  CLOSED
timer    -       expect  idle    idle    -       -       -       -       -
SEND     HEAD    BROKEN  BROKEN  BROKEN  BROKEN  BROKEN  BROKEN  .       BROKEN
PART     BROKEN  .       .       .       .       BROKEN  .       .       .
BEGIN    BROKEN  BODY    BODY    .       .       BROKEN  .       .       .
END      BROKEN  DONE    DONE    DONE    DONE    BROKEN  .       .       .
BAD      BROKEN  BROKEN  BROKEN  BROKEN  BROKEN  BROKEN  .       .       .
EXPIRED  -       BROKEN  BROKEN  BROKEN  -       -       -       -       -
EOF      CLOSED  BROKEN  BROKEN  DONE    DONE    .       .       .       .
LOST     CLOSED  BROKEN  BROKEN  BROKEN  BROKEN  .       BROKEN  .       .
FULL     .       STALLED .       .       .       .       .       .       .
TAKEN    .       .       HEAD    .       .       .       .       .       .
EXPECT   .       .       HEAD    .       .       .       .       .       .
HOLD     .       .       .       HELD    .       .       .       .       .
RESUME   .       .       .       .       BODY    .       .       .       .
SWITCH   -       TUNNEL  -       -       -       -       -       .       .
KEEP     -       -       -       -       -       IDLE    -       -       -
DROP     BROKEN  BROKEN  BROKEN  BROKEN  BROKEN  BROKEN  .       .       BROKEN
FAIL     BROKEN  BROKEN  BROKEN  BROKEN  BROKEN  BROKEN  BROKEN  .       BROKEN
"""
"""In HEAD the exchange arms the timer, by `expect_by`, with a reason of its own."""

SERVER: Final = transitions_in(_SERVER, ServerState, ServerEvent)
SERVER_TIMERS: Final[dict[ServerState, Bound | None]] = {
    state: _SERVER_BOUNDS.get(name) for state, name in timers_in(_SERVER, ServerState).items()
}
CLIENT: Final = transitions_in(_CLIENT, ClientState, ClientEvent)
CLIENT_TIMERS: Final = timers_in(_CLIENT, ClientState)
