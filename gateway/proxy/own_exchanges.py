"""The exchanges that the gateway makes by itself: no connection of a caller has them, so that they are kept here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from gateway import errors
from gateway.core.exchange import Exchange
from gateway.core.layer import Handler
from gateway.errors import GatewayError, Reason
from gateway.proxy.layers.deadline import current_task


class OwnExchanges:
    """Runs them, and can cut them. It iterates over those that run."""

    def __init__(self, on_idle: Callable[[], None]) -> None:
        """``on_idle`` is called when the last one has ended."""
        self._on_idle = on_idle
        self._running: dict[Exchange, asyncio.Task[object]] = {}
        """Value: the task of the caller that waits for it."""
        self._cut: set[Exchange] = set()
        self._aside: set[Exchange] = set()
        self.closed = False
        """No further one begins, but those aside."""

    def __len__(self) -> int:
        return len(self._running)

    def __iter__(self) -> Iterator[Exchange]:
        return iter(self._running)

    @property
    def busy(self) -> bool:
        """Whether one runs that is not aside."""
        return len(self._running) > len(self._aside)

    async def run(self, exchange: Exchange, handle: Handler, *, aside: bool = False) -> None:
        """Serve ``exchange`` by ``handle``, a chain with `observe`, to its end.

        ``aside``: it is a message about one that is over, often because all are cut. So it may begin nevertheless, is
        not cut from here, and holds up no end: its owner ends it.

        Raises `GatewayError` when it was cut from here, or may not begin. When the caller of this is cancelled, the
        caller has left: the exchange ends as ``client_gone``, and this after it.
        """
        if self.closed and not aside:
            raise GatewayError(errors.DRAINING)
        # In the task of the caller, because a task of its own costs a tenth of a small call. A cut cancels that task
        # and takes the cancellation back, as `asyncio.timeout` does, so that it does not end what the caller does next.
        task = current_task(asyncio.get_running_loop())
        before = task.cancelling()
        self._running[exchange] = task
        if aside:
            self._aside.add(exchange)
        try:
            await handle(exchange)
        except asyncio.CancelledError:
            if exchange not in self._cut or task.uncancel() > before or not exchange.reason:
                raise
            raise GatewayError(errors.REASONS[exchange.reason]) from None
        finally:
            self._over(exchange)

    def cancel(self, reason: Reason) -> None:
        """Cut all that run, and begin no other."""
        self.closed = True
        for exchange, task in self._running.items():
            if exchange not in self._cut and exchange not in self._aside:
                self._cut.add(exchange)
                exchange.reason = exchange.reason or reason.code
                task.cancel()

    def _over(self, exchange: Exchange) -> None:
        self._cut.discard(exchange)
        self._aside.discard(exchange)
        del self._running[exchange]
        if not self.busy:
            self._on_idle()
