"""A process without a free descriptor: what it has open stays open, and nothing new can be opened."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_descriptor_left(pid: int = 0) -> Iterator[None]:
    """While this lasts, each attempt of the process to open something ends with EMFILE. 0: this process."""
    pid = pid or os.getpid()
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[1]))  # 0 to 2 are taken
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
