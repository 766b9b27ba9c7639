"""Confines the gateway's processes: the environment of a worker is reduced, and no process exposes its memory.

The control process holds the master key and the password of the database; a worker holds secrets that header templates
send, and needs neither of those two. So a worker starts only with the variables of a list, and no process of ours
leaves a core file or lets another process of the same user read its memory.
"""

from __future__ import annotations

import ctypes
import fnmatch
import os
import resource
import sys
from collections.abc import Iterable, Mapping
from typing import Final

KEPT: Final = (
    *("PATH", "TZ", "LANG", "LC_*", "PYTHON*", "LD_*", "MALLOC_*", "SSL_CERT_*"),
    *("*_proxy", "*_PROXY", "OTEL_*", "NOTIFY_*", "AIOHTTP_*"),
)
"""Names of the variables that a worker keeps. Each changes how the interpreter, the allocator, TLS, the way to
upstreams or tracing works; none of them names a secret of the gateway."""
OURS: Final = "GATEWAY_*"
"""Never kept, except `OPEN`: the master key is among them."""
OPEN: Final = "GATEWAY_DUMPABLE"
"""With the value 1, profilers and debuggers of the same user can attach to processes: for measurements."""

_PR_SET_DUMPABLE: Final = 4  # linux/prctl.h
_PR_SET_NAME: Final = 15


def environment(env: Mapping[str, str], more: Iterable[str] = ()) -> dict[str, str]:
    """The part of ``env`` for a worker: `KEPT` and the names in ``more``, without `OURS`."""
    names = {*more}
    return {
        name: value
        for name, value in env.items()
        if name == OPEN
        or (
            (name in names or any(fnmatch.fnmatchcase(name, kept) for kept in KEPT))
            and not fnmatch.fnmatchcase(name, OURS)
        )
    }


def seal() -> None:
    """No core file and no debugger of the same user for this process: its memory holds secrets (prctl(2)).

    As a consequence only root and the process itself can read its ``/proc/PID/environ``, ``fd`` and ``smaps_rollup``.
    Where the system has no prctl(2), only the limit of the core file is set. Nothing is done when `OPEN` says so.
    """
    if os.environ.get(OPEN) == "1":
        return
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def rename(name: str) -> None:
    """Show this process as ``name``, at most 15 characters, in ``ps`` and ``top`` (prctl(2), PR_SET_NAME)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)
