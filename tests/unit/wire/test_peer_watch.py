"""A caller that leaves while nothing is read."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from harness.patience import eventually

from gateway.wire import peer_watch
from gateway.wire.hangup import HangupWatch
from gateway.wire.peer_watch import PeerWatch


class Held:
    """One end of a pair of sockets, which nothing reads."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair()
        self.hangups = HangupWatch()
        self.left = 0
        transport = asyncio.Transport({"socket": self.near})
        self.watch = PeerWatch(asyncio.get_running_loop(), self.hangups, transport, self._on_left)

    def _on_left(self) -> None:
        self.left += 1


@pytest.fixture
async def held() -> AsyncIterator[Held]:
    made = Held()
    yield made
    made.watch.end()
    made.hangups.close()
    made.near.close()
    made.far.close()


async def test_it_is_noticed_once(held: Held) -> None:
    held.watch.begin()
    assert len(held.hangups) == 0, "a short pause costs no system call"
    await eventually(lambda: len(held.hangups) == 1)
    held.far.close()
    await eventually(lambda: held.left == 1)
    assert len(held.hangups) == 0


async def test_not_after_the_end(held: Held) -> None:
    held.watch.begin()
    await eventually(lambda: len(held.hangups) == 1)
    held.watch.end()
    assert len(held.hangups) == 0
    held.watch.begin()
    held.watch.end()
    assert held.watch._probe is None


@pytest.mark.interpreted
async def test_it_is_tried_again_when_the_kernel_has_no_room(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    watch: Any = HangupWatch.watch
    answers = iter([False, True])
    monkeypatch.setattr(peer_watch, "_HOLD_SECONDS", 0.001)
    monkeypatch.setattr(HangupWatch, "watch", lambda *args: next(answers) and watch(*args))
    held.watch.begin()
    await eventually(lambda: len(held.hangups) == 1)
