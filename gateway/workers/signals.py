"""Handlers of signals on the event loop of a process that was started with its signals held (`gateway.launch`).

It is separate from the data plane because the supervisor uses it too, and imports nothing heavy.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator, Mapping


@contextlib.contextmanager
def signals(handlers: Mapping[int, Callable[[], object]]) -> Iterator[None]:
    """Call each handler when its signal comes, while the context lasts. Signals that were held before come first.

    At the end the mask of signals is as it was before.
    """
    loop = asyncio.get_running_loop()
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    before = signal.pthread_sigmask(signal.SIG_UNBLOCK, handlers)
    try:
        yield
    finally:
        # First: the default action of a signal that comes from here on would spoil the exit code.
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for number in handlers:
            loop.remove_signal_handler(number)
