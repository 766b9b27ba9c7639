"""Places that the configuration names and the machine must provide: files that are written, addresses to listen on.

Each sentence names the key, the place, what is wrong with it, and how to fix it.
"""

from __future__ import annotations

import errno
import os
import pathlib
import socket
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gateway.config.errors import Problem
from gateway.core.address import Address, UnixSocket

if TYPE_CHECKING:  # a worker imports this module, and no schema
    from gateway.config.schema.settings import Settings

_SQLITE = "sqlite:///"
_MAGIC = b"SQLite format 3\0"


def problems(settings: Settings, access_log: str = "") -> Iterator[Problem]:
    """What prevents a gateway with ``settings`` from starting here and now. Nothing is created or opened for it.

    ``access_log``: the path that replaces the one of the file, as of `Overrides`; empty: none does. Addresses are not
    tried, because the gateway that serves now has them.
    """
    log = access_log or (settings.access_log.path if settings.access_log is not None else "off")
    if log not in ("-", "off") and (error := obstacle(log)):
        yield Problem(_file_sentence("access_log.path", log, error), ("access_log", "path"))
    if settings.database is not None and settings.database.startswith(_SQLITE):
        file = settings.database.removeprefix(_SQLITE)
        if error := obstacle(file):
            yield Problem(_file_sentence("database", file, error), ("database",))
    admin = None if settings.admin is None else settings.admin.address
    if isinstance(admin, UnixSocket) and (error := _socket_obstacle(admin.path)):
        yield Problem(_socket_sentence(admin, error), ("admin", "listen"))


def _socket_obstacle(path: str) -> OSError | None:
    """Why this process could not make a socket file at ``path``. One that is there is replaced, or is the gateway's own
    that runs now."""
    file = pathlib.Path(path)
    try:
        if not stat.S_ISDIR(file.parent.stat().st_mode):
            return _error(errno.ENOTDIR)
        if os.path.lexists(file) and not stat.S_ISSOCK(file.lstat().st_mode):
            return _error(errno.EEXIST)
    except OSError as error:
        return error
    return _unwritable(file.parent, os.W_OK | os.X_OK)


def obstacle(path: str | pathlib.Path) -> OSError | None:
    """Why this process could not open ``path`` for writing, or create it; None: no obstacle is known."""
    file = pathlib.Path(path)
    try:
        if not stat.S_ISDIR(file.parent.stat().st_mode):
            return _error(errno.ENOTDIR)
        if file.is_dir():
            return _error(errno.EISDIR)
        there = file.exists()
    except OSError as error:
        return error
    return _unwritable(file, os.W_OK) if there else _unwritable(file.parent, os.W_OK | os.X_OK)


def not_sqlite(path: str | pathlib.Path) -> str:
    """What to say of a file at ``path`` that is no SQLite database; "": it is one, or can become one.

    The magic is that of https://www.sqlite.org/fileformat.html#the_database_header. SQLite takes an empty file too.
    """
    try:
        with pathlib.Path(path).open("rb") as file:
            head = file.read(len(_MAGIC))
    except OSError:
        return ""  # that it is missing or cannot be read is said elsewhere
    return f"{path} is a file that is no SQLite database; change database" if head not in (b"", _MAGIC) else ""


def _unwritable(target: pathlib.Path, mode: int) -> OSError | None:
    return None if os.access(target, mode, effective_ids=True) else _error(errno.EACCES)


def file_failure(key: str, path: str | pathlib.Path, error: OSError) -> OSError:
    """``error`` with a sentence for its text. ``key``: the key of the configuration that names ``path``."""
    return OSError(f"{key}: {_file_sentence(key, path, error)}")


def listen_failure(key: str, host: str, port: int, error: OSError) -> OSError:
    """``error`` with a sentence for its text. ``key``: the key of the configuration that names the address."""
    reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror or error)
    return OSError(f"{key}: cannot listen on {Address(host, port)}: {reason}; {_listen_remedy(key, error)}")


def admin_failure(where: Address | UnixSocket, error: OSError) -> OSError:
    """``error`` of the admin listener with a sentence for its text."""
    if isinstance(where, UnixSocket):
        return OSError(f"admin.listen: {_socket_sentence(where, error)}")
    return listen_failure("admin.listen", where.host, where.port, error)


def _socket_sentence(where: UnixSocket, error: OSError) -> str:
    folder = pathlib.Path(where.path).parent
    if error.errno == errno.EEXIST:
        return f"cannot listen on {where}: there is a file that is no socket; remove it, or change admin.listen"
    if error.errno == errno.EADDRINUSE:
        return f"cannot listen on {where}: another process does; stop that program, or change admin.listen"
    remedy = "change admin.listen"
    if error.errno == errno.ENOENT:
        remedy = f"make the folder {folder} (RuntimeDirectory= in a systemd unit), or change admin.listen"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        remedy = f"let the user of the gateway write the folder {folder}, or change admin.listen"
    return f"cannot listen on {where}: {error.strerror}; {remedy}"


def _file_sentence(key: str, path: str | pathlib.Path, error: OSError) -> str:
    return f"{path} cannot be written: {error.strerror}; {_file_remedy(key, path, error.errno)}"


def _file_remedy(key: str, path: str | pathlib.Path, number: int | None) -> str:
    folder = pathlib.Path(path).parent
    if number == errno.ENOENT:
        return f"make the folder {folder}, or change {key}"
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"let the user of the gateway write it and its folder {folder}, or change {key}"
    if number == errno.EISDIR:
        return f"name a file in {key}"
    return f"change {key}"


def _listen_remedy(key: str, error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return f"write an address of this machine in {key}"
    if error.errno == errno.EADDRINUSE:
        return f"stop the program that uses it, or change {key}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"choose a port above 1023 in {key}, or give the gateway CAP_NET_BIND_SERVICE"
    return f"change {key}"


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
