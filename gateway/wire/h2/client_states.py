"""The states of a request on its stream to an endpoint, as a table in the notation of `gateway.wire.state_table`.

They follow its response. Its body, on the other half of the stream, is written by `gateway.wire.h2.body_writer`.
"""

from __future__ import annotations

import enum
from typing import Final

from gateway.wire.state_table import timers_in, transitions_in


class ClientState(enum.Enum):
    NEW = enum.auto()
    """Nothing was sent. The place on the connection is taken."""
    HEAD = enum.auto()
    """The head was sent; that of the response is to come. The exchange sets how long that may take."""
    STALLED = enum.auto()
    """As HEAD, and the endpoint does not take the body of the request."""
    BODY = enum.auto()
    """The body of the response is relayed as it comes."""
    HELD = enum.auto()
    """As BODY, but the caller takes nothing. That is no fault of the endpoint, so its timer stops: the caller's stream
    bounds the time, and the window of the stream what may still come."""
    REST = enum.auto()
    """The response has come whole, and the caller has yet to take a part of it."""
    DONE = enum.auto()
    """All of the response was given on."""
    CLOSED = enum.auto()
    """The request failed, or its exchange is over."""


class ClientEvent(enum.Enum):
    SEND = enum.auto()
    """The request begins."""
    BEGIN = enum.auto()
    """The final head came; its response goes on."""
    WHOLE = enum.auto()
    """The final head came, and the whole response with it."""
    LAST = enum.auto()
    """END_STREAM came."""
    TAKEN = enum.auto()
    """The last of the response was given on."""
    FULL = enum.auto()
    """The endpoint takes no more of the request's body."""
    OPEN = enum.auto()
    """It takes it again."""
    EXPECT = enum.auto()
    """The exchange sets how long the head may take from now on."""
    HOLD = enum.auto()
    """The caller takes no more of the response's body."""
    RESUME = enum.auto()
    """The caller takes it again."""
    EXPIRED = enum.auto()
    """The timer of the state."""
    CLOSE = enum.auto()
    """An error, RST_STREAM of either side, the end of the connection, or of the exchange."""


_CLIENT = """
         NEW    HEAD    STALLED BODY    HELD    REST    DONE    CLOSED
timer    -      expect  idle    idle    -       -       -       -
SEND     HEAD   -       -       -       -       -       -       -
BEGIN    -      BODY    BODY    -       -       -       -       -
WHOLE    -      DONE    DONE    -       -       -       -       -
LAST     -      -       -       REST    REST    -       -       -
TAKEN    -      -       -       -       -       DONE    -       -
FULL     .      STALLED .       .       .       .       .       .
OPEN     .      .       HEAD    .       .       .       .       .
EXPECT   .      .       HEAD    .       .       .       .       .
HOLD     .      .       .       HELD    .       .       .       .
RESUME   .      .       .       .       BODY    .       .       .
EXPIRED  -      CLOSED  CLOSED  CLOSED  -       -       -       -
CLOSE    CLOSED CLOSED  CLOSED  CLOSED  CLOSED  CLOSED  CLOSED  .
"""
"""In HEAD the exchange arms the timer, by `expect_by`, with a reason of its own."""

CLIENT: Final = transitions_in(_CLIENT, ClientState, ClientEvent)
CLIENT_TIMERS: Final = timers_in(_CLIENT, ClientState)
