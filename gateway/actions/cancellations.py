"""Says to servers of MCP that a call which they still work on is over.

In the older era the end of a connection means nothing to a server: it works on until it reads a notification
(2025-11-25, basic/utilities/cancellation). In the newer one the end of the connection is what cancels the call
(2026-07-28, basic/patterns/cancellation).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from gateway.actions.call import Ended, Prepared
from gateway.actions.tool_messages import Request, Session, request
from gateway.core.tasks import Tasks
from gateway.errors import ANSWER_TOO_LARGE, BODY_IDLE_TIMEOUT, DRAINING, HEADER_TIMEOUT, TOTAL_TIMEOUT, GatewayError

SECONDS: Final = 5.0
"""For a notification: a server that does not take it by then does without."""
MOST: Final = 32
"""Notifications that are sent at the same time. Further ones are left out."""
LAST_SECONDS: Final = 1.0
"""For those that are sent when the gateway itself ends."""
_OUR_END: Final = frozenset((TOTAL_TIMEOUT, HEADER_TIMEOUT, BODY_IDLE_TIMEOUT, ANSWER_TOO_LARGE, DRAINING))
"""Reasons by which the gateway ends a call that the server works on. Otherwise the server has ended it, or is away."""
Make = Callable[[Prepared], Awaitable[Ended]]
"""Makes one exchange."""


def ended_here(error: GatewayError | None) -> bool:
    """Whether the gateway has ended a call with ``error`` while the server worked on it."""
    return error is not None and error.reason in _OUR_END


def cancellation(session: Session | None, number: int) -> Request | None:
    """The notification that the request ``number`` of ``session`` is over. None: the server needs none, or could not
    find the request, because it keeps no session."""
    if session is None or session.modern or not session.id:
        return None
    return request(session, "notifications/cancelled", {"requestId": number, "reason": "No one waits"}, notifies=True)


class Cancellations:
    """Those of one data plane that are being sent. Nothing waits for them."""

    def __init__(self) -> None:
        self._tasks = Tasks()
        self._open = 0
        self._possible = 0
        self._none = asyncio.Event()
        """Nothing is being sent, and no call runs that may have to be cancelled."""
        self._none.set()

    @contextmanager
    def possible(self) -> Iterator[None]:
        """While a call runs that may have to be cancelled."""
        self._possible += 1
        self._none.clear()
        try:
            yield
        finally:
            self._possible -= 1
            self._look()

    def send(self, make: Make, prepared: Prepared) -> None:
        """Send ``prepared`` by ``make``, once, unless too many are being sent."""
        if self._open == MOST:
            return
        self._open += 1
        self._none.clear()
        prepared.seconds, prepared.patience = SECONDS, None
        self._tasks.start(self._send(make, prepared), "cancellation of a call")

    async def aclose(self) -> None:
        """Send what calls that have been cut leave to be sent, and end in `LAST_SECONDS`."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._none.wait(), LAST_SECONDS)
        await self._tasks.aclose()

    def _look(self) -> None:
        if not self._open and not self._possible:
            self._none.set()

    async def _send(self, make: Make, prepared: Prepared) -> None:
        try:
            await make(prepared)
        finally:
            self._open -= 1
            self._look()
