"""Lets a child detect the end of its supervisor: the child holds one end of a pipe, whose other end then closes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def parent_watch(alive: int, then: Callable[[], object]) -> Iterator[None]:
    """Call ``then`` once when the supervisor has ended. ``alive``: the reading end of its pipe."""
    loop = asyncio.get_running_loop()

    def on_end() -> None:
        loop.remove_reader(alive)
        then()

    loop.add_reader(alive, on_end)
    try:
        yield
    finally:
        loop.remove_reader(alive)
