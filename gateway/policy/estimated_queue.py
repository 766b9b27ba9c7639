"""A queue in shadow mode in front of an enforced limit: what it would have rejected.

Such a queue cannot be simulated: the requests that it would have held are rejected and gone, and how long they would
have run is not known. Their wait is estimated by Little's law from how long permits are held, as if all were admitted
in the order of arrival: priorities and turns of callers change who waits, not how many are rejected. What newest first
would reject earlier is not estimated, because it depends on each single wait.
"""

from __future__ import annotations

from collections import deque
from math import inf

from gateway.errors import QUEUE_FULL, QUEUE_PREDICTED_TIMEOUT, QUEUE_TIMEOUT
from gateway.policy.limiter import MARGIN, Limiter


class EstimatedQueue:
    """Who would wait, each until the moment at which a permit would probably be free."""

    __slots__ = ("_limiter", "_max_waiting", "_places", "_predict", "_timeout")

    def __init__(self, limiter: Limiter, max_waiting: int, timeout: float, *, predict: bool = False) -> None:
        self._limiter = limiter
        self._max_waiting = max_waiting
        self._timeout = timeout
        self._predict = predict
        self._places: deque[float] = deque()

    def rejection(self, left: float = inf) -> str:
        """Code of the `Reason` for which the queue would refuse one that has ``left`` seconds; empty: it would be
        served in time.
        """
        now = self._limiter.clock()
        while self._places and self._places[0] <= now:
            self._places.popleft()
        if len(self._places) >= self._max_waiting:
            return QUEUE_FULL.code
        wait = (len(self._places) + 1) * self._limiter.hold / max(1, self._limiter.max)
        if self._predict and 0.0 < min(self._timeout, left) * MARGIN < wait:
            return QUEUE_PREDICTED_TIMEOUT.code
        if wait > self._timeout:
            return QUEUE_TIMEOUT.code
        # As long as no permit ever came back nothing is known but the longest that anybody would wait.
        self._places.append(now + (wait or self._timeout))
        return ""
