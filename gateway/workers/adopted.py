"""A child process that the program before this one has started: the same process id, the same parent, other code."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from typing import Protocol


class Running(Protocol):
    """The part of `subprocess.Popen` that the supervisor uses."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None:
        """The exit code (negative: a signal); None while it runs."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """The exit code. Raises `subprocess.TimeoutExpired` after ``timeout`` seconds."""
        ...

    def send_signal(self, sig: int) -> None:
        """Nothing happens when it has ended."""
        ...


class Adopted:
    """The child ``pid``, which may have ended meanwhile. Raises ChildProcessError when it is no child of ours."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)

    def poll(self) -> int | None:
        """As `Running.poll`."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        """As `Running.wait`."""
        if self._code is None:
            handle = os.pidfd_open(self.pid)
            try:
                poll = select.poll()
                poll.register(handle, select.POLLIN)
                poll.poll(None if timeout is None else timeout * 1000)
            finally:
                os.close(handle)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        return code

    def send_signal(self, sig: int) -> None:
        """As `Running.send_signal`."""
        if self.poll() is None:
            os.kill(self.pid, signal.Signals(sig))
