"""The process's own log: what is no access log goes to standard error, a line each, by a `LineWriter`.

Everything that would write to ``sys.stderr`` or ``sys.stdout`` by itself goes the same way: tracebacks, warnings, what
the interpreter reports of objects that it cannot finalise. None of it may block an event loop.
"""

from __future__ import annotations

import atexit
import io
import logging
import sys
from typing import Final

from gateway.core.events import BreakerChanged, EndpointChanged, Event, LimitDecided, PanicChanged, Reloaded
from gateway.observe.line_writer import LineWriter

_log = logging.getLogger("gateway")

PATIENCE: Final = 1.0
"""Seconds that the end of a process waits for its last lines to be taken."""
_MAX_ENTRY: Final = 65536
_CHANGES: Final = {
    "down": "down, it gets no more requests",
    "up": "up again",
    "ejected": "ejected for a time",
    "probation": "on probation, its ejection is over",
    "proved": "well again",
    "leaving": "draining by its own report, it gets no more requests while another endpoint is usable",
    "returned": "no longer draining by its own report",
}
"""What an endpoint's change means, by its cause."""
_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _Handler(logging.Handler):
    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception:
            # logging.Handler.handleError would write a traceback for each such call.
            text = f"a log entry of {record.name} (line {record.lineno}) cannot be formatted"
        self._writer.write([entry(text)])

    def close(self) -> None:
        """At the end of the process, by `logging.shutdown`: what was logged is written, if the reader takes it.

        `begin_process_log` may begin another one, where the process goes on all the same.
        """
        _end(self._writer)
        logging.root.removeHandler(self)
        super().close()


class _Stream(io.TextIOBase):
    """Stands for ``sys.stderr`` and ``sys.stdout``: each line that is complete is handed over."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer
        self._begun = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        lines, newline, self._begun = (self._begun + text).rpartition("\n")
        if newline:
            self._writer.write([entry(lines)])
        return len(text)


def entry(text: str) -> bytes:
    """``text`` as bytes for the log, with its newline; what is longer than 64 KiB is cut, and says so."""
    data = text.encode("utf-8", "backslashreplace")
    if len(data) > _MAX_ENTRY:
        data = data[:_MAX_ENTRY].decode("utf-8", "ignore").encode() + b"... %d bytes more" % (len(data) - _MAX_ENTRY)
    return data + b"\n"


def _lost(count: int) -> bytes:
    return entry(f"{count} {'line was' if count == 1 else 'lines were'} lost here: no one took them in time")


def begin_process_log() -> None:
    """Log to standard error from now on, and let nothing else of this process write to it."""
    # watchfiles logs every change in the folder, an access log beside the configuration included; alembic of
    # each of its own plugins.
    for talkative in ("watchfiles", "alembic"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    if any(isinstance(handler, _Handler) for handler in logging.root.handlers):
        return
    writer = LineWriter("-", 2, _lost)
    handler = _Handler(writer)
    handler.setFormatter(logging.Formatter(_FORMAT))
    logging.root.addHandler(handler)
    logging.root.setLevel(logging.INFO)
    sys.stderr = _Stream(writer)
    out = LineWriter("-", 1)
    sys.stdout = _Stream(out)
    atexit.register(_end, out)


def _end(writer: LineWriter) -> None:
    writer.close()
    writer.join(PATIENCE)


def log_event(event: Event) -> None:
    """Write ``event`` to the log of the process."""
    match event:
        case BreakerChanged(upstream, old, new, cause, shadow, endpoint):
            mode = ", in shadow mode" if shadow else ""
            of = f"{upstream} at {endpoint}" if endpoint else upstream
            _log.warning("breaker of %s: %s -> %s (%s%s)", of, old, new, cause.replace("_", " "), mode)
        case EndpointChanged(upstream, endpoint, cause, why, shadow):
            log = _log.info if cause in ("up", "proved", "probation", "returned") else _log.warning
            mode = " (shadow mode: it gets requests all the same)" if shadow else ""
            log("endpoint %s of %s: %s%s%s", endpoint, upstream, _CHANGES[cause], f": {why}" if why else "", mode)
        case PanicChanged(upstream, True):
            _log.warning("%s: too few endpoints are usable, so that all are used (panic)", upstream)
        case PanicChanged(upstream, False):
            _log.info("%s: enough endpoints are usable again", upstream)
        case LimitDecided(upstream, old, new, cause, shadow):
            mode = ", in shadow mode" if shadow else ""
            _log.info("limit of %s: %d -> %d (%s%s)", upstream, old, new, cause, mode)
        case Reloaded(generation, source, ""):
            _log.info("configuration %d applied (%s)", generation, source)
        case Reloaded(generation, source, error):
            _log.error("%s rejected, configuration %d stays active:\n%s", source, generation, error)
