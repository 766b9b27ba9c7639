"""The exchanges that the gateway makes by itself: no connection of a caller has them, so that they are kept here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from gateway import errors
from gateway.core.exchange import Exchange
from gateway.core.layer import Handler
from gateway.errors import GatewayError, Reason


class OwnExchanges:
    """Runs them, and can cut them. It iterates over those that run."""

    def __init__(self, on_idle: Callable[[], None]) -> None:
        """``on_idle`` is called when the last one has ended."""
        self._on_idle = on_idle
        self._running: dict[Exchange, asyncio.Task[None]] = {}
        self.closed = False
        """No further one begins."""

    def __len__(self) -> int:
        return len(self._running)

    def __iter__(self) -> Iterator[Exchange]:
        return iter(self._running)

    async def run(self, exchange: Exchange, handle: Handler) -> None:
        """Serve ``exchange`` by ``handle``, a chain with `observe`, to its end.

        Raises `GatewayError` when it was cut from here, or may not begin. When the caller of this is cancelled, the
        caller has left: the exchange ends as ``client_gone``, and this after it.
        """
        if self.closed:
            raise GatewayError(errors.DRAINING)
        # A task of its own: to cut it must not end the task that waits for it.
        task = asyncio.get_running_loop().create_task(handle(exchange), name="own exchange")
        self._running[exchange] = task
        task.add_done_callback(lambda _: self._over(exchange))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
                raise
            if not task.cancelled() or not exchange.reason:
                raise
            raise GatewayError(errors.REASONS[exchange.reason]) from None

    def cancel(self, reason: Reason) -> None:
        """Cut all that run, and begin no other."""
        self.closed = True
        for exchange, task in self._running.items():
            exchange.reason = exchange.reason or reason.code
            task.cancel()

    def _over(self, exchange: Exchange) -> None:
        del self._running[exchange]
        if not self._running:
            self._on_idle()
