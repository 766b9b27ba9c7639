"""What this machine lacks for a connection: kept apart from the upstream's faults, and logged at most once a second."""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Iterable

from gateway import errors
from gateway.core.clock import Clock, monotonic
from gateway.core.once_a_second import OnceASecond
from gateway.errors import GatewayError

_log = logging.getLogger(__name__)

LOCAL = frozenset(
    {
        errno.EMFILE,  # this process has no descriptor left
        errno.ENFILE,  # this machine has none
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.ENOSPC,  # no more watches of epoll for this user
        errno.EAGAIN,  # connect(2): no entry left in the routing cache
        errno.EADDRNOTAVAIL,  # no ephemeral port left, or no address of this family
        errno.EAFNOSUPPORT,  # no such family in this kernel
        errno.ENETDOWN,  # our interface is down
        errno.ENODEV,  # there is no interface of this name (IPv6 zones)
    }
)
"""Errors of socket(2) and connect(2) that say nothing of the peer. ECONNREFUSED, EHOSTUNREACH and ENETUNREACH do."""

_RETRY_AFTER = 1
_MEMORY_SECONDS = 1.0


def is_local(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in LOCAL)


def _lack_of_descriptors() -> OSError | None:
    try:
        socket.socket().close()
    except OSError as error:
        return error if is_local(error) else None
    return None


class Shortages:
    """Those of one data plane. Its log says what is missing, at most once a second however many dials fail."""

    __slots__ = ("_clock", "_last", "_throttle")

    def __init__(self, clock: Clock = monotonic) -> None:
        self._clock = clock
        self._last = float("-inf")
        self._throttle = OnceASecond(clock)

    def failure(self, target: str, failures: Iterable[BaseException]) -> GatewayError | None:
        """The error of a failed dial when each of its attempts failed for a local reason; else None.

        ``target`` is where it led, for the log.
        """
        causes = list(failures)
        if not causes or not all(map(is_local, causes)):
            return None
        return self._noted(target, causes[-1])

    def failure_to_resolve(self, target: str, error: OSError) -> GatewayError | None:
        """As `failure`, of a name that could not be resolved.

        A resolver that can open neither a socket nor its files says "try again" or "no such name" and not what it
        lacks. So a failure is only the name's while there are descriptors, and there were throughout the last second.
        """
        if error.errno == socket.EAI_MEMORY or is_local(error):
            return self._noted(target, error)
        lack = _lack_of_descriptors()
        if lack is not None:
            return self._noted(target, lack)
        if self._clock() - self._last < _MEMORY_SECONDS:
            return GatewayError(errors.LOCAL_RESOURCES, retry_after=_RETRY_AFTER)
        return None

    def _noted(self, target: str, cause: BaseException) -> GatewayError:
        self._last = self._clock()
        if (more := self._throttle.due()) is not None:
            lack = f"this machine lacks a resource: {_described(cause)}; {_FIX}"
            _log.error("no connection to %s: %s%s", target, lack, more)
        return GatewayError(errors.LOCAL_RESOURCES, retry_after=_RETRY_AFTER)


_FIX = "raise the limit of open files (LimitNOFILE=, ulimit -n) or of local ports, or lower the load"


def _described(cause: BaseException) -> str:
    number = (cause.errno if isinstance(cause, OSError) else None) or 0
    word = errno.errorcode.get(number, type(cause).__name__)
    return f"{word}, {os.strerror(number)}" if number > 0 else word
