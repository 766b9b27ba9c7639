"""How a child notices that its supervisor is gone: it holds one end of a pipe whose other end ends with it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def orphaned(alive: int, then: Callable[[], object]) -> Iterator[None]:
    """Call ``then`` once when the supervisor has ended. ``alive``: the reading end of its pipe."""
    loop = asyncio.get_running_loop()

    def noticed() -> None:
        loop.remove_reader(alive)
        then()

    loop.add_reader(alive, noticed)
    try:
        yield
    finally:
        loop.remove_reader(alive)
