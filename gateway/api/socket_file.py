"""The socket file of a Unix listener: made for its user and group, and never in the place of one that is in use."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import socket
import stat
from typing import Final

_MODE: Final = 0o660
_PATIENCE: Final = 1.0
"""Seconds in which a listener that is alive accepts; one whose backlog is full for so long is alive too."""


class SocketFile:
    """The file at ``path``; `open` makes it, `remove` removes it."""

    def __init__(self, path: str) -> None:
        self._path = pathlib.Path(path)
        self._made: tuple[int, int] | None = None
        """Device and inode of the file that we made."""

    def open(self) -> socket.socket:
        """A bound socket that does not listen yet. The file of a process that is gone is replaced.

        Raises OSError: EADDRINUSE when something listens there, EEXIST when what is there is no socket.
        """
        self._make_room()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.bind(str(self._path))
            # Before anyone listens: until then no one can connect, whatever the umask has left to others.
            self._path.chmod(_MODE)
            found = self._path.lstat()
        except OSError:
            sock.close()
            raise
        self._made = found.st_dev, found.st_ino
        sock.setblocking(False)
        return sock

    def remove(self) -> None:
        """Remove the file, unless another process has put its own there since."""
        made, self._made = self._made, None
        with contextlib.suppress(OSError):
            found = self._path.lstat()
            if (found.st_dev, found.st_ino) == made:
                self._path.unlink()

    def _make_room(self) -> None:
        try:
            mode = self._path.lstat().st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(mode):
            raise _error(errno.EEXIST)
        if self._in_use():
            raise _error(errno.EADDRINUSE)
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()

    def _in_use(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(_PATIENCE)
            try:
                probe.connect(str(self._path))
            except (ConnectionRefusedError, FileNotFoundError):
                return False
            except TimeoutError:
                return True
        return True


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
