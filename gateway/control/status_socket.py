"""Where `gateway status` on the same machine finds the processes of a gateway, without an address and without a token.

It is an abstract socket (unix(7)), named after the configuration file, so that no file is left behind. Each connection
gets one JSON document, as `GET /workers` has it; nothing is read from it. Only processes of the gateway's own user and
of root get one (SO_PEERCRED). It has no secret, and nothing of callers.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import pathlib
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

from gateway.core.clock import monotonic

_log = logging.getLogger("gateway")

PATIENCE: Final = 10.0
"""Seconds for a response; a worker that hangs delays it by one or two."""
_MOST_BYTES: Final = 1 << 20
"""More than a status has, also that of the most workers."""
_ROOT: Final = 0
_CREDENTIALS: Final = struct.Struct("3i")
"""struct ucred: process, user, group."""


class _Options(Protocol):
    """A socket, or what an event loop shows of one."""

    def getsockopt(self, level: int, name: int, size: int, /) -> bytes: ...


class NoStatusError(Exception):
    """Why there is no response, for people."""


def name_of(config: pathlib.Path) -> str:
    """The name of the socket of the gateway that runs with the file ``config``."""
    return f"\0breakwater-{hashlib.sha256(os.fsencode(config.resolve())).hexdigest()[:32]}"


class StatusSocket:
    """Responds from `start` to `aclose`. ``read``: the status."""

    def __init__(self, config: pathlib.Path, read: Callable[[], Awaitable[Mapping[str, object]]]) -> None:
        self._name = name_of(config)
        self._read = read
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Where the system has no abstract sockets, or the name is in use, there is no status, and all else works."""
        if sys.platform != "linux":
            return
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.bind(self._name)
            self._server = await asyncio.start_unix_server(self._respond, sock=sock)
        except OSError as error:
            sock.close()
            _log.warning(
                "gateway status finds this gateway with --server alone, because another process has its local "
                "socket, perhaps a gateway with the same configuration file: %s",
                error.strerror,
            )

    async def aclose(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _respond(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError, TimeoutError):
            if _user_of(writer.get_extra_info("socket")) in (_ROOT, os.geteuid()):
                async with asyncio.timeout(2 * PATIENCE):  # the command gives up first, and says why
                    writer.write(json.dumps(await self._read()).encode())
                    await writer.drain()


def read_status(config: pathlib.Path) -> dict[str, object]:
    """The status of the gateway that runs with ``config`` on this machine. Raises `NoStatusError`."""
    if sys.platform != "linux":
        raise NoStatusError("without --server the status is known on Linux alone; name the admin listener with it")
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(name_of(config))
            if os.geteuid() != _ROOT and _user_of(sock) not in (_ROOT, os.geteuid()):
                raise NoStatusError(_OF_ANOTHER)
            found = _all_of(sock)
    except ConnectionRefusedError:
        raise NoStatusError(
            f"no gateway with the configuration {config} and a database runs on this machine, or it is just starting; "
            "one elsewhere is named by its admin listener, with --server"
        ) from None
    except TimeoutError:
        raise NoStatusError(
            f"the control process has not responded within {PATIENCE:g} s; its log may say why"
        ) from None
    except OSError as error:
        raise NoStatusError(f"the gateway's local socket: {error.strerror}") from None
    if not found:
        raise NoStatusError(_OF_ANOTHER)
    return _checked(found)


_OF_ANOTHER: Final = "the gateway runs as another user: run the command as that user or as root, or use --server"


def _all_of(sock: socket.socket) -> bytes:
    """What comes until the end, but no more than a status has, and no longer than `PATIENCE`. Raises `TimeoutError`."""
    found, until = b"", monotonic() + PATIENCE
    while len(found) <= _MOST_BYTES and (part := sock.recv(1 << 16)):
        found += part
        sock.settimeout(max(0.001, until - monotonic()))
    return found


def _checked(found: bytes) -> dict[str, object]:
    """Another user may have taken the name before the gateway: what root reads there must not control its terminal."""
    try:
        document = json.loads(found if len(found) <= _MOST_BYTES else b"")
        texts = [str(value) for each in document["items"] for value in each.values()]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        texts = ["\0"]
    if not all(map(str.isprintable, texts)):
        raise NoStatusError("what responds at the gateway's local socket is no gateway")
    status: dict[str, object] = document
    return status


def _user_of(sock: _Options) -> int:
    """The user of the process at the other end."""
    return int(_CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))[1])
