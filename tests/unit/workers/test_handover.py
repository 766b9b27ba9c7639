"""Connections that go from one process of a slot to the next, with both ends in this process."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator

import pytest
from harness.patience import eventually

from gateway.workers.handover import Handover, pair


class Slot:
    """The supervisor's ends of one slot, and processes that inherit them."""

    def __init__(self) -> None:
        self.ends = pair()
        self.workers: list[Handover] = []

    def worker(self) -> Handover:
        giving, taking = (socket.socket(fileno=os.dup(end.fileno())) for end in self.ends)
        self.workers.append(Handover(giving, taking))
        return self.workers[-1]

    def close(self) -> None:
        for end in (*self.workers, *self.ends):
            end.close()


@pytest.fixture
async def slot() -> AsyncIterator[Slot]:
    made = Slot()
    yield made
    made.close()


async def test_a_connection_goes_to_the_next_process_and_its_peer_notices_nothing(slot: Slot) -> None:
    old, new, came = slot.worker(), slot.worker(), list[socket.socket]()
    new.take(came.append)
    new.take(came.append)
    caller, ours = socket.socketpair()
    with caller, ours:
        caller.sendall(b"sent before")
        assert old.give(ours.fileno())
        ours.close()
        await eventually(lambda: came, "the connection")
        (taken,) = came
        with taken:
            assert (taken.recv(99), taken.gettimeout(), taken.get_inheritable()) == (b"sent before", 0.0, False)
            taken.sendall(b"after")
        assert (caller.recv(99), caller.recv(99)) == (b"after", b"")
    assert (old.given, new.given) == (1, 0)


async def test_what_no_process_has_taken_waits_for_the_next(slot: Slot) -> None:
    old, dead, came = slot.worker(), slot.worker(), list[socket.socket]()
    dead.take(lambda _: pytest.fail("it takes no more"))
    dead.stop()
    for _ in range(100):
        caller, ours = socket.socketpair()
        assert old.give(ours.fileno())
        ours.close()
        caller.close()
    dead.close()
    slot.worker().take(came.append)
    await eventually(lambda: len(came) == 100, "all of them")
    for taken in came:
        taken.close()


async def test_a_pair_that_is_full_takes_no_more_until_it_is_read(slot: Slot) -> None:
    old, came = slot.worker(), list[socket.socket]()
    caller, ours = socket.socketpair()
    with caller, ours:
        while old.give(ours.fileno()):
            assert old.given < 100_000
        given = old.given
        slot.worker().take(came.append)
        await eventually(lambda: len(came) == given, "all of them")
        assert old.give(ours.fileno())
        await eventually(lambda: len(came) == given + 1, "one more")
        for taken in came:
            taken.close()


async def test_a_connection_that_cannot_be_adopted_is_closed(slot: Slot) -> None:
    old = slot.worker()

    def refuse(_: socket.socket) -> None:
        raise ValueError("no")

    slot.worker().take(refuse)
    caller, ours = socket.socketpair()
    caller.setblocking(False)

    def closed() -> bool:
        try:
            return caller.recv(1) == b""
        except BlockingIOError:
            return False

    with caller, ours:
        assert old.give(ours.fileno())
        ours.close()
        await eventually(closed, "the end of the connection")


async def test_the_end_of_all_other_ends_is_no_connection(slot: Slot) -> None:
    last = slot.worker()
    last.take(lambda _: pytest.fail("nothing came"))
    for end in slot.ends:
        end.close()
    last._giving.close()
    await eventually(lambda: not last._takes, "the end of the reader")
