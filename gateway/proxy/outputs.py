"""Where the record of exchanges goes: the access log, and the export of spans."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final

from gateway.config import places
from gateway.config.records import Tracing
from gateway.core.clock import Clock, monotonic
from gateway.core.once_a_second import OnceASecond
from gateway.core.tasks import Tasks
from gateway.observe.line_writer import LineWriter
from gateway.observe.recorder import ExchangeRecorder
from gateway.observe.trace import Sampler

if TYPE_CHECKING:
    from gateway.observe.otlp import SpanExport

_log = logging.getLogger("gateway")
_PAUSE: Final = 60.0
"""Seconds between two lines about an access log that takes none: a full disk stays full for long."""


class Outputs:
    """Those of ``recorder``, which it owns."""

    def __init__(self, recorder: ExchangeRecorder, clock: Clock = monotonic) -> None:
        self._recorder = recorder
        self._tracing: Tracing | None = None
        self._spans: SpanExport | None = None
        self._closing = Tasks()
        self._refusals = OnceASecond(clock, _PAUSE)

    def open(self, path: str | None) -> LineWriter | None:
        """The access log at ``path``; the one that is in use when it stays. Raises OSError with a sentence."""
        current = self._recorder.writer
        if path is None or (current is not None and current.path == path):
            return current if path is not None else None
        try:
            return LineWriter(path, refused=partial(self._note_refusal, path))
        except OSError as error:
            raise places.file_failure("access_log.path", path, error) from None

    def _note_refusal(self, path: str, error: OSError) -> None:
        """In the log of the process, because the access log cannot say it. Called from the thread of a writer."""
        if (more := self._refusals.due()) is not None:
            _log.error(
                "the access log %s takes no lines: %s; they are dropped, and counted in "
                "gateway_log_lines_dropped_total%s",
                path,
                error.strerror,
                more,
            )

    def drop(self, writer: LineWriter | None) -> None:
        """Close what `open` has opened in vain."""
        if writer is not None and writer is not self._recorder.writer:
            writer.close()

    def use(self, writer: LineWriter | None, tracing: Tracing | None) -> None:
        """Log to ``writer``, and export the spans of sampled exchanges as ``tracing`` says."""
        self._recorder.replace_writer(writer)
        self._trace(tracing)

    def reopen(self) -> None:
        """Open the access log's file again, after a rotation."""
        writer = self._recorder.writer
        if writer is not None:
            self._recorder.flush()
            try:
                writer.reopen()
            except OSError as error:
                _log.error("the access log could not be reopened, the old file stays in use: %s", error)

    async def aclose(self) -> None:
        await self._recorder.aclose()
        self._trace(None)
        await self._closing.finish()

    def _trace(self, settings: Tracing | None) -> None:
        if settings == self._tracing:
            return
        recorder = self._recorder
        recorder.flush()  # finished exchanges still go to the old destination
        before, self._spans, self._tracing = self._spans, None, settings
        recorder.sampler = recorder.export = None
        if settings is not None:
            from gateway.observe.otlp import SpanExport  # an extra, and slow to import

            self._spans = SpanExport(settings.endpoint, settings.service)
            recorder.sampler, recorder.export = Sampler(settings.share), self._spans.export
        if before is not None:
            self._closing.start(before.aclose(), "close the export of spans")
