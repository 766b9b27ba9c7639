"""Writes lines to a file, a pipe, a socket or a terminal from a thread of its own, so that no caller waits for them.

An event loop must never write to a descriptor that can block: the reader of the other end of a pipe could then stop all
traffic. The descriptor stays as it is: standard output is shared with the shell that started the process, and making it
non-blocking would change it for the shell too. So a thread writes, and may block. What it does not write in time is
kept up to a bound; beyond that lines are dropped, the longest first, and counted.
"""

from __future__ import annotations

import os
import select
import stat
import threading
from collections.abc import Callable, Sequence
from typing import Final

MAX_BACKLOG_BYTES: Final = 4 << 20
_KEPT_BYTES: Final = MAX_BACKLOG_BYTES // 8 * 7
"""What is left after lines were dropped: sorting the backlog for each new batch would cost too much."""
_WRITE_BYTES: Final = 65536
_ATOMIC_BYTES: Final = 4096
"""PIPE_BUF: a write of this size reaches a pipe in one piece, so that lines of other writers do not mix with ours."""
_POLL_MILLISECONDS: Final = 100


class _Target:
    """A descriptor, and the lines that are still to be written to it."""

    __slots__ = ("fd", "lines", "most")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.lines: list[bytes] = []
        self.most = _WRITE_BYTES if stat.S_ISREG(os.fstat(fd).st_mode) else _ATOMIC_BYTES


class LineWriter:
    """Every method may be called from any thread and returns at once.

    ``path`` "-" stands for the descriptor ``standard``, by default standard output. ``notice`` makes a line from the
    number of lines that were lost before it; None: no such line. ``refused`` is called from the thread, with what the
    system says, when it refuses lines. Raises OSError when the file cannot be opened.
    """

    def __init__(
        self,
        path: str,
        standard: int = 1,
        notice: Callable[[int], bytes] | None = None,
        refused: Callable[[OSError], None] | None = None,
    ) -> None:
        self.path = path
        self._refused = refused
        self._standard = standard
        self._notice = notice
        self._noticed = 0
        self._lost = 0
        self._size = 0
        """Bytes of all lines that wait."""
        self._writing = 0
        """Lines that the thread has taken and not written yet."""
        self._closing = False
        self._abandoned = False
        self._torn = False
        """The last byte that was written is not the end of a line."""
        self._ready = threading.Condition(threading.Lock())
        self._writing_thread: threading.Thread | None = None
        self._targets = [_Target(self._open())]

    @property
    def dropped(self) -> int:
        """Lines lost: the descriptor did not take them in time, or refused them."""
        return self._lost

    @property
    def done(self) -> bool:
        """After `close`: everything was written or dropped, and the descriptor is closed."""
        return self._closing and not self._targets

    def write(self, lines: Sequence[bytes]) -> None:
        """Hand lines over, each with its newline. They come out whole and in order, or are dropped whole."""
        size = sum(map(len, lines))
        with self._ready:
            if self._closing:
                self._lost += len(lines)
                return
            self._targets[-1].lines += lines
            self._size += size
            if self._size > MAX_BACKLOG_BYTES:
                self._shed()
            if self._writing_thread is None:
                self._begin()
            self._ready.notify()

    def reopen(self) -> None:
        """Open the file again, after a rotation. Raises OSError and keeps the old one when that fails."""
        if self.path == "-":
            return
        target = _Target(self._open())
        with self._ready:
            if self._closing:
                os.close(target.fd)
                return
            self._targets.append(target)  # what was handed over before still goes to the old file
            if self._writing_thread is None:
                self._begin()
            self._ready.notify()

    def close(self) -> None:
        """Take no more lines. The thread writes what is there and closes the descriptor; see `join`."""
        with self._ready:
            if self._closing:
                return
            self._closing = True
            if self._writing_thread is None:
                self._finish()
            self._ready.notify()

    def join(self, patience: float) -> None:
        """After `close`: wait up to ``patience`` seconds for the last lines; what is left then is dropped."""
        thread = self._writing_thread
        if thread is not None:
            thread.join(patience)
        self.abandon()

    def abandon(self) -> None:
        """After `close`: give up what was not written so far."""
        with self._ready:
            if self._targets and not self._abandoned:
                self._abandoned = True
                self._lost += self._writing
                self._writing = 0
                for target in self._targets:
                    self._lost += len(target.lines)
                    target.lines.clear()
                self._size = 0

    # -- with the lock held

    def _begin(self) -> None:
        # A daemon: a descriptor that blocks must not keep the process from ending.
        thread = threading.Thread(target=self._run, name="line writer", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no thread is to be had now: the next line tries again
            return
        self._writing_thread = thread

    def _finish(self) -> None:
        for target in self._targets:
            self._lost += len(target.lines)
            os.close(target.fd)
        self._targets.clear()

    def _shed(self) -> None:
        """Drop the longest lines, and of equal ones the newest: many short lines say more than few long ones."""
        for target in self._targets:
            lines = target.lines
            # Negative positions: of two lines of one length the later one comes first.
            order = sorted([(-len(line), -at) for at, line in enumerate(lines)])
            gone: set[int] = set()
            for length, position in order:
                if self._size <= _KEPT_BYTES:
                    break
                self._size += length
                gone.add(-position)
            if gone:
                self._lost += len(gone)
                target.lines = [line for at, line in enumerate(lines) if at not in gone]

    # -- the thread

    def _run(self) -> None:
        while True:
            with self._ready:
                target = self._next_target()
                if target is None:
                    return
                count, size = len(target.lines), self._size
                if size > target.most or len(self._targets) > 1:
                    count, size = 0, 0
                    for line in target.lines:
                        if count and size + len(line) > target.most:
                            break
                        count += 1
                        size += len(line)
                data = b"".join(target.lines[:count])
                del target.lines[:count]
                self._size -= size
                self._writing = count
                lost = self._lost - self._noticed if self._notice is not None else 0
            if lost and self._notice is not None and not self._put(target.fd, self._notice(lost)):
                self._noticed += lost  # it stands ahead of the lines that came after the loss
            left = self._put(target.fd, data)
            with self._ready:
                if self._writing:  # else they were given up meanwhile
                    self._writing = 0
                    self._lost += min(count, left)

    def _next_target(self) -> _Target | None:
        """The first target with lines, in its turn; waits for one. None: all are written, and closed.

        A method of its own because compiled code has no `continue` out of a `with`.
        """
        while True:
            while not self._targets[0].lines and len(self._targets) == 1 and not self._closing:
                self._ready.wait()
            target = self._targets[0]
            if target.lines:
                return target
            self._targets.pop(0)
            os.close(target.fd)
            if not self._targets:
                return None

    def _put(self, fd: int, data: bytes) -> int:
        """Write all of it, however long that takes. Returns how many lines were refused: the disk is full, say."""
        # After a line of which only the beginning could be written, the next one starts on a line of its own.
        rest = b"\n" + data if self._torn else data
        while rest:
            try:
                written = os.write(fd, rest)
            except BlockingIOError:  # it is a pipe that we opened ourselves, or another process made it non-blocking
                if not self._wait_for(fd):
                    break
                continue
            except OSError as error:
                if self._refused is not None:
                    self._refused(error)
                break
            self._torn = rest[written - 1 : written] != b"\n"
            rest = rest[written:]
        return rest.count(b"\n")

    def _wait_for(self, fd: int) -> bool:
        """Wait until ``fd`` takes bytes; False when the writer was given up meanwhile."""
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        while not self._abandoned:
            if poll.poll(_POLL_MILLISECONDS):
                return True
        return False

    def _open(self) -> int:
        if self.path == "-":
            return os.dup(self._standard)
        # O_NONBLOCK: a pipe without a reader is an error here and now, and not a wait without end.
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC, 0o640)
