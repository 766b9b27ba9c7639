"""Writes lines to a file or a pipe in batches, without ever waiting for it.

What a blocked pipe or a full disk does not take is kept up to a bound and then dropped and counted: the traffic does
not suffer for its log.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Sequence
from pathlib import Path

_BATCH = 256
_RETRY_SECONDS = 0.1
_MAX_BACKLOG_BYTES = 4 << 20


class LineWriter:
    """``path`` "-" is standard output. Lines, each with its newline, are written whole or dropped whole, in order."""

    def __init__(self, path: str, loop: asyncio.AbstractEventLoop) -> None:
        self.path = path
        self.dropped = 0
        """Lines lost because the descriptor would block or refused to write."""
        self._loop = loop
        self._backlog: list[bytes] = []
        self._backlog_bytes = 0
        self._part = b""
        """What is left of a line that the descriptor took the beginning of."""
        self._torn = False
        """The last byte that was written is not the end of a line."""
        self._timer: asyncio.TimerHandle | None = None
        self._fd = self._open()

    def write(self, lines: Sequence[bytes]) -> None:
        """Hand over what the descriptor takes now, and keep the rest for a moment."""
        self._keep(lines)
        self.flush()

    def flush(self) -> None:
        """Hand everything to the descriptor that it takes now."""
        while self._part or self._backlog:
            if not self._part:
                # After a line of which only the beginning could be written, the next one starts on a line of its own.
                self._part = (b"\n" if self._torn else b"") + b"".join(self._backlog[:_BATCH])
                del self._backlog[:_BATCH]
            try:
                written = os.write(self._fd, self._part)
            except BlockingIOError:
                break
            except OSError:
                self._drop()
                break
            self._torn = self._part[written - 1 : written] != b"\n"
            self._part = self._part[written:]
        self._backlog_bytes = len(self._part) + sum(map(len, self._backlog))
        if self._backlog_bytes and self._timer is None:
            self._timer = self._loop.call_later(_RETRY_SECONDS, self._on_timer)

    def reopen(self) -> None:
        """Open the file anew, after a rotation. Raises OSError and keeps the old one when that fails."""
        if self.path == "-":
            return
        self.flush()
        new = self._open()
        os.close(self._fd)
        self._fd = new

    def close(self) -> None:
        self.flush()
        self._drop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        os.close(self._fd)

    def _on_timer(self) -> None:
        self._timer = None
        self.flush()

    def _keep(self, lines: Sequence[bytes]) -> None:
        size = sum(map(len, lines))
        if self._backlog_bytes + size > _MAX_BACKLOG_BYTES:
            self.dropped += len(lines)
            return
        self._backlog += lines
        self._backlog_bytes += size

    def _drop(self) -> None:
        """What could not be written (the disk is full, say) is lost, the rest of a begun line with it."""
        self.dropped += self._part.count(b"\n") + len(self._backlog)
        self._part = b""
        self._backlog.clear()

    def _open(self) -> int:
        if self.path != "-":
            return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC, 0o640)
        return _own_stdout()


def _own_stdout() -> int:
    """Standard output as a description of our own: making the shared one non-blocking would change it for the shell."""
    mode = os.fstat(1).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        try:
            return os.open(Path("/proc/self/fd/1"), os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return os.dup(1)
    return os.dup(1)
