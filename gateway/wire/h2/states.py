"""The states of the two halves of a stream, as tables in the notation of `gateway.wire.state_table`.

RFC 9113 5.1 has one state for both: "open" is OPEN, RECEIVING or HELD beside a response that is not DONE; "half-closed
(remote)" is REST or DONE beside such a response; "half-closed (local)" a response that is DONE beside a request that is
not; "closed" is DONE and DONE.
"""

from __future__ import annotations

import enum
from typing import Final

from gateway.wire.state_table import timers_in, transitions_in


class RequestState(enum.Enum):
    OPEN = enum.auto()
    """The body is to come, and no one takes it yet, or any more."""
    RECEIVING = enum.auto()
    """It is relayed as it comes."""
    HELD = enum.auto()
    """It is relayed, and the endpoint takes nothing. The endpoint's stream bounds that time; the window of the stream
    bounds what the caller may still send."""
    REST = enum.auto()
    """All of it has come, and not all is taken."""
    DONE = enum.auto()
    """All of it is taken; or the stream has ended."""


class RequestEvent(enum.Enum):
    LAST = enum.auto()
    """END_STREAM."""
    PIPED = enum.auto()
    """The body is relayed from now on."""
    HOLD = enum.auto()
    """The endpoint takes no more of it."""
    RESUME = enum.auto()
    """The endpoint takes it again."""
    STOPPED = enum.auto()
    """No one takes more of it."""
    TAKEN = enum.auto()
    """The last of it was taken."""
    EXPIRED = enum.auto()
    """The timer of the state."""
    CLOSED = enum.auto()
    """RST_STREAM of either side, or the end of the connection."""


_REQUEST = """
         OPEN      RECEIVING HELD      REST      DONE
timer    -         body      -         -         -
LAST     REST      REST      REST      -         -
PIPED    RECEIVING -         -         .         .
HOLD     .         HELD      .         .         .
RESUME   .         .         RECEIVING .         .
STOPPED  .         OPEN      OPEN      .         .
TAKEN    -         -         -         DONE      -
EXPIRED  -         OPEN      -         -         -
CLOSED   DONE      DONE      DONE      DONE      .
"""
"""More of a body after its END_STREAM is a fault of the caller, and refused before the table is asked."""


class ResponseState(enum.Enum):
    WAITING = enum.auto()
    """It has not begun."""
    SENDING = enum.auto()
    """All that was given has been written."""
    BLOCKED = enum.auto()
    """A part waits for a window, or for the socket."""
    TUNNEL = enum.auto()
    """The endpoint has switched protocols: what is written belongs to a tunnel, which bounds the time
    (`gateway.wire.tunnel`)."""
    DONE = enum.auto()
    """END_STREAM was sent; or the stream has ended."""


class ResponseEvent(enum.Enum):
    BEGIN = enum.auto()
    SWITCH = enum.auto()
    """The endpoint has switched to the protocol that the caller asked for."""
    BLOCK = enum.auto()
    """The windows, or the socket, do not take all."""
    TAKEN = enum.auto()
    """All that waited was written."""
    OVER = enum.auto()
    """The exchange waits for the caller to take the rest: if that is one of a tunnel, it is like the rest of any
    response."""
    END = enum.auto()
    """END_STREAM was sent."""
    CLOSED = enum.auto()
    """As `RequestEvent.CLOSED`. The end of the timer resets the stream, so it means this too."""


_RESPONSE = """
         WAITING SENDING BLOCKED TUNNEL  DONE
timer    -       -       body    -       -
BEGIN    SENDING -       -       -       .
SWITCH   TUNNEL  -       -       -       -
BLOCK    -       BLOCKED .       .       .
TAKEN    -       -       SENDING .       .
OVER     -       -       .       BLOCKED -
END      -       DONE    -       DONE    .
CLOSED   DONE    DONE    DONE    DONE    .
"""

REQUEST: Final = transitions_in(_REQUEST, RequestState, RequestEvent)
REQUEST_TIMERS: Final = timers_in(_REQUEST, RequestState)
RESPONSE: Final = transitions_in(_RESPONSE, ResponseState, ResponseEvent)
RESPONSE_TIMERS: Final = timers_in(_RESPONSE, ResponseState)
