"""The race of two attempts at one request: which response the caller gets, and what becomes of the other one.

    alone --second attempt--> both --good response--> begun
                                   --bad response, or failure--> last --any response--> begun
    alone --any response--> begun                                last --failure--> over
    alone --failure--> over

A *bad* response is one with a status that counts as a failure of the upstream. It does not win while the other attempt
runs, because a failing endpoint responds sooner than a good one. A response that does not win is discarded. The last
attempt stands for the request whatever it brings, so that the caller gets what there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

ALONE: Final = "alone"
"""The first attempt runs, and no second one was made."""
BOTH: Final = "both"
"""Two attempts run, and neither has a response."""
LAST: Final = "last"
"""One of two has ended without a response for the caller; the other one runs."""
BEGUN: Final = "begun"
"""A response was taken."""
OVER: Final = "over"
"""All attempts have failed."""
STATES: Final = (ALONE, BOTH, LAST, BEGUN, OVER)

SECOND: Final = "second"
"""It is time for a second attempt."""
GOOD: Final = "good"
"""The head of a good response came."""
BAD: Final = "bad"
"""The head of a bad response came."""
FAILED: Final = "failed"
"""An attempt ended without a head."""
EVENTS: Final = (SECOND, GOOD, BAD, FAILED)

NOTHING: Final = "nothing"
START: Final = "start"
"""The second attempt is made."""
TAKE: Final = "take"
"""The response is that of the request; what else runs is cut."""
DISCARD: Final = "discard"
"""The response is not for the caller."""


class Move(NamedTuple):
    """The state after an event, and what is done for it."""

    state: str
    does: str


TABLE: Final[Mapping[tuple[str, str], Move]] = {
    (ALONE, SECOND): Move(BOTH, START),
    (ALONE, GOOD): Move(BEGUN, TAKE),
    (ALONE, BAD): Move(BEGUN, TAKE),
    (ALONE, FAILED): Move(OVER, NOTHING),
    (BOTH, SECOND): Move(BOTH, NOTHING),  # there is never a third
    (BOTH, GOOD): Move(BEGUN, TAKE),
    (BOTH, BAD): Move(LAST, DISCARD),
    (BOTH, FAILED): Move(LAST, NOTHING),
    (LAST, SECOND): Move(LAST, NOTHING),
    (LAST, GOOD): Move(BEGUN, TAKE),
    (LAST, BAD): Move(BEGUN, TAKE),
    (LAST, FAILED): Move(OVER, NOTHING),
    (BEGUN, SECOND): Move(BEGUN, NOTHING),
    (BEGUN, GOOD): Move(BEGUN, DISCARD),  # it was cut, and its response was on its way
    (BEGUN, BAD): Move(BEGUN, DISCARD),
    (BEGUN, FAILED): Move(BEGUN, NOTHING),
    (OVER, SECOND): Move(OVER, NOTHING),
    (OVER, GOOD): Move(OVER, DISCARD),
    (OVER, BAD): Move(OVER, DISCARD),
    (OVER, FAILED): Move(OVER, NOTHING),
}
