"""What goes wrong in callbacks of the event loop: the one place that hears of it.

An exception in a callback of a protocol, of a timer or of a task is a mistake of ours, and a caller may have found out
how to cause it. So it must not leave a connection open, and must not fill the log: the connection that it came from is
cut, it is counted, and once a second one of them is logged.
"""

from __future__ import annotations

import asyncio
import logging

from gateway.core.clock import Clock, monotonic
from gateway.core.once_a_second import OnceASecond

_log = logging.getLogger("gateway")


class CallbackFailures:
    """The exception handler of one event loop, from `attach` to `detach`."""

    def __init__(self, clock: Clock = monotonic) -> None:
        self.count = 0
        self._throttle = OnceASecond(clock)
        self._loop: asyncio.AbstractEventLoop | None = None

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Receive everything that fails in ``loop``, unless another handler is installed already."""
        if loop.get_exception_handler() is None:
            loop.set_exception_handler(self.heard)
            self._loop = loop

    def detach(self) -> None:
        if self._loop is not None:
            self._loop.set_exception_handler(None)
            self._loop = None

    def heard(self, _: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """``context`` as of `asyncio.loop.call_exception_handler`."""
        self.count += 1
        for name in ("protocol", "transport"):
            abort = getattr(context.get(name), "abort", None)
            if abort is not None:
                try:
                    abort()
                except Exception as error:
                    self._tell("a connection could not be cut", error)
                break
        cause = context.get("exception")
        message = str(context.get("message", "a callback failed"))
        self._tell(message, cause if isinstance(cause, BaseException) else None)

    def _tell(self, what: str, error: BaseException | None) -> None:
        if (more := self._throttle.due()) is not None:
            _log.error("%s%s", what, more, exc_info=error)
