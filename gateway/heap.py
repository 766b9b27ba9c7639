"""How the process that serves traffic takes and returns memory."""

from __future__ import annotations

import ctypes
import gc
import os
from typing import Final

_M_MMAP_THRESHOLD: Final = -3  # malloc.h
LARGE_BLOCK: Final = 24 * 1024
"""Bytes from which on a block has pages of its own: below a head of the default limit, above a TLS record."""
_CHOSEN: Final = "MALLOC_MMAP_THRESHOLD_"


def settle() -> None:
    """Call once, when the process is ready to serve."""
    _return_large_blocks()
    _calm_collector()


def _calm_collector() -> None:
    """Collect less often, and never what lives as long as the process.

    Exchanges free themselves by reference counting; a collection after each 700 new objects, the default, only finds
    that a burst of new streams is alive.
    """
    gc.set_threshold(10_000, 20, 10)
    gc.collect()
    gc.freeze()


def _return_large_blocks() -> None:
    """Give a large block back to the system as soon as it is free (mallopt(3), M_MMAP_THRESHOLD).

    glibc keeps such blocks in its heap, because it raises the threshold of 128 KiB by itself, and what small objects
    lie between them then holds the pages: 1000 clients that each sent one large head made the worker keep 25 MiB.
    Does nothing where the C library has no such option, or where the environment has set it.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and _CHOSEN not in os.environ:
        mallopt(_M_MMAP_THRESHOLD, LARGE_BLOCK)
