"""Records every exchange once it is over: counters, the access log, what is kept for explanations, traces.

All of it happens in batches, a moment later: the processor's caches reward that, and no exchange waits for it. A batch
is described in slices, with a turn of the event loop between them: with long lines a whole one takes milliseconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from time import monotonic, time

from gateway import errors
from gateway.core.exchange import SWITCHED, Exchange
from gateway.core.layer import Handler, Layer
from gateway.observe.access_log import (
    events_line,
    having_retries,
    line,
    tunnel_line,
    with_breaker_of_upstream,
    with_fallback,
    with_hedge,
    with_usage,
)
from gateway.observe.line_writer import LineWriter
from gateway.observe.metrics import Metrics
from gateway.observe.recent_requests import Recent
from gateway.observe.timing import Phases, phases
from gateway.observe.trace import Sampler, follow

_BATCH = 256
_SLICE = 32
"""Exchanges that are described in a turn of the event loop: 0.1 to 0.4 ms."""
_FLUSH_SECONDS = 0.1
_PATIENCE = 1.0
_LOOK_SECONDS = 0.002
_MUCH = 32768
"""Bytes of lines that are handed over before their batch is complete."""

Export = Callable[[Exchange, Phases], None]
"""Takes an exchange that is part of a sampled trace."""
_ByProxy = dict[str, tuple[list[Exchange], list[Phases]]]


class ExchangeRecorder:
    """``writer`` None: no access log. Everything else goes on."""

    def __init__(self, metrics: Metrics, recent: Recent) -> None:
        self.writer: LineWriter | None = None
        self.sampler: Sampler | None = None
        self.export: Export | None = None
        self._metrics = metrics
        self._recent = recent
        self._pending: list[Exchange] = []
        self._running: Iterator[None] | None = None
        """The batch that is being described."""
        self._timer: asyncio.TimerHandle | None = None
        self._dropped = 0
        self._closing: list[LineWriter] = []
        """Writers of before, which may still have lines to write."""

    def observe(self, proxy: str) -> Layer:
        """The outermost layer of the proxy's chain."""

        def layer(next_handler: Handler) -> Handler:
            async def handle(ex: Exchange) -> None:
                ex.proxy = proxy
                if self.sampler is not None or b"traceparent" in ex.request.known:
                    follow(ex, self.sampler)
                try:
                    await next_handler(ex)
                except asyncio.CancelledError:
                    cancelled(ex)
                    raise
                finally:
                    ex.end_at = monotonic()
                    ex.body = None  # not to be kept until the batch is full
                    pending = self._pending
                    pending.append(ex)
                    if len(pending) >= _BATCH:
                        self._begin()
                    elif self._timer is None:
                        self._timer = asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self._on_timer)

            return handle

        return layer

    def flush(self) -> None:
        """Describe every exchange that has ended, before the return."""
        self._finish()
        if self._pending:
            self._running = self._record()
            self._finish()

    def _finish(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            for _ in running:
                pass

    def _begin(self) -> None:
        """Describe every exchange that has ended, a slice in each turn of the event loop."""
        self._finish()  # most often there is none
        if self._pending:
            self._running = running = self._record()
            self._go_on(running)

    def _go_on(self, running: Iterator[None]) -> None:
        if running is not self._running:  # finished meanwhile
            return
        for _ in running:
            asyncio.get_running_loop().call_soon(self._go_on, running)
            return
        self._running = None

    def _record(self) -> Iterator[None]:
        """Describe the exchanges that have ended, and count them; pauses between two slices."""
        pending, self._pending = self._pending, []
        epoch = time() - monotonic()
        writer = self.writer
        lines: list[bytes] = []
        by_proxy: _ByProxy = {}
        for start in range(0, len(pending), _SLICE):
            if start:
                yield
            self._describe(pending[start : start + _SLICE], epoch, lines, by_proxy)
            if writer is not None and sum(map(len, lines)) >= _MUCH:
                # Not all at the end: its thread would keep the processor, or Python, from us for milliseconds.
                writer.write(lines)
                self._recent.keep(lines)
                lines = []
        for proxy, (exchanges, all_spent) in by_proxy.items():
            self._metrics.record(proxy, exchanges, all_spent)
        self._recent.keep(lines)
        if writer is not None and lines:
            writer.write(lines)

    def _describe(self, part: Sequence[Exchange], epoch: float, lines: list[bytes], by_proxy: _ByProxy) -> None:
        """Add the log lines of ``part``, and what the counters need of it."""
        writer, export = self.writer, self.export
        proxy = None
        for ex in part:
            spent = phases(ex)
            describe = line
            if ex.status == SWITCHED:
                describe = tunnel_line
                self._metrics.record_tunnel(ex, spent)
            else:
                if ex.proxy != proxy:
                    proxy = ex.proxy
                    exchanges, all_spent = by_proxy.setdefault(proxy, ([], []))
                exchanges.append(ex)
                all_spent.append(spent)
                if ex.events is not None:
                    describe = events_line
            if writer is not None or ex.reason or ex.shadow or ex.fallback:
                text = describe(ex, spent, epoch)
                if ex.failures or ex.retries is not None or ex.fallback is not None:
                    text = having_retries(text, ex)
                if ex.hedge is not None:
                    text = with_hedge(text, ex.hedge)
                if ex.fallback is not None:
                    text = with_fallback(text, ex.fallback)
                if ex.breaker_of_upstream:
                    text = with_breaker_of_upstream(text)
                if ex.usage is not None:
                    text = with_usage(text, ex, ex.usage)
                lines.append(text)
                if ex.reason:
                    self._recent.keep_refusal(text)
            if export is not None and ex.trace:
                export(ex, spent)

    def replace_writer(self, writer: LineWriter | None) -> None:
        """Write to ``writer`` from now on; the one before is closed."""
        before = self.writer
        if before is not writer:
            self.flush()
            self.writer = writer
            if before is not None:
                before.close()
                self._closing.append(before)
            self._forget_done()

    @property
    def dropped(self) -> int:
        """Lines lost so far."""
        lost = sum([writer.dropped for writer in self._closing])
        return self._dropped + lost + (self.writer.dropped if self.writer is not None else 0)

    async def aclose(self, patience: float = _PATIENCE) -> None:
        """`close`, and wait up to ``patience`` seconds for what is still to be written."""
        self.close()
        end = monotonic() + patience
        while self._closing and monotonic() < end:
            self._forget_done()
            if self._closing:
                await asyncio.sleep(_LOOK_SECONDS)
        for writer in self._closing:
            writer.abandon()

    def _forget_done(self) -> None:
        for writer in [writer for writer in self._closing if writer.done]:
            self._dropped += writer.dropped
            self._closing.remove(writer)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.flush()
        self.replace_writer(None)

    def _on_timer(self) -> None:
        self._timer = None
        self._begin()


def cancelled(ex: Exchange) -> None:
    """An exchange that was cut from outside: the reason was left in it, and the client saw no status of ours."""
    reason = errors.REASONS.get(ex.reason, errors.CLIENT_GONE)
    ex.reason = reason.code
    if (reason is errors.CLIENT_GONE and ex.status != SWITCHED) or not ex.committed:
        ex.status = reason.status
