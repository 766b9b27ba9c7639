"""Signals that were held reach their handlers, and the process is as it was afterwards."""

from __future__ import annotations

import signal
import threading

from harness.patience import eventually

from gateway import launch
from gateway.workers.signals import signals


async def test_a_signal_that_was_held_reaches_its_handler() -> None:
    here = threading.get_ident()  # not the process: its other threads hold nothing
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    heard: list[int] = []
    with launch.held():
        signal.pthread_kill(here, signal.SIGUSR1)
        with signals({signal.SIGUSR1: lambda: heard.append(1)}):
            await eventually(lambda: heard == [1], "the signal that came first")
            signal.pthread_kill(here, signal.SIGUSR1)
            await eventually(lambda: heard == [1, 1], "the signal that came later")
        assert signal.SIGUSR1 in signal.pthread_sigmask(signal.SIG_BLOCK, ()), "it is held again"
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
