"""A supervisor's sockets and two workers, one after the other, in one process on real sockets."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from harness.patience import eventually

from gateway.config.records import Listener
from gateway.core.address import Address
from gateway.proxy.bindings import close
from gateway.proxy.listeners import Listeners
from gateway.workers.sockets import KeptSockets, LentSockets, OwnedSockets

FREE = Address("127.0.0.1", 0)


@pytest.fixture
async def owned() -> AsyncIterator[OwnedSockets]:
    made = OwnedSockets()
    yield made
    await made.aclose()


def worker(owned: OwnedSockets) -> LentSockets:
    with owned.line() as line:
        return LentSockets(socket.socket(fileno=os.dup(line)))


async def only(lent: LentSockets, address: Address = FREE) -> socket.socket:
    (sock,) = await lent.open(address)
    return sock


def refused(where: tuple[str, int]) -> bool:
    try:
        socket.create_connection(where, timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


async def test_callers_wait_for_the_next_worker(owned: OwnedSockets) -> None:
    first = worker(owned)
    before = await only(first)
    where = before.getsockname()
    await first.keep([FREE])
    before.close()
    first.close()
    with socket.create_connection(where, timeout=5) as waiting:
        second = worker(owned)
        after = await only(second)
        assert after.getsockname() == where
        assert not after.get_inheritable()
        accepted, peer = after.accept()
        assert peer == waiting.getsockname()
        close([accepted, after])
    second.close()


async def test_what_the_worker_before_had_not_applied_ends_with_the_next(owned: OwnedSockets) -> None:
    first = worker(owned)
    left = await only(first)
    where = left.getsockname()
    close([left])
    first.close()
    second = worker(owned)
    await second.keep([])
    assert refused(where)
    second.close()


async def test_an_error_arrives_as_the_sentence_that_it_was(owned: OwnedSockets) -> None:
    lent = worker(owned)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"^listen: cannot listen on 127.0.0.1:{port}: Address already in use; stop"):
            await lent.open(Address("127.0.0.1", port))
    (await only(lent)).close()
    lent.close()


async def test_after_the_end_callers_are_refused_though_a_worker_still_has_descriptors(owned: OwnedSockets) -> None:
    lent = worker(owned)
    sock = await only(lent)
    owned.close()
    assert refused(sock.getsockname())
    with pytest.raises(OSError, match="the gateway is stopping"):
        await lent.open(FREE)
    sock.close()
    lent.close()


async def test_a_worker_sees_that_the_supervisor_has_ended(owned: OwnedSockets) -> None:
    lent = worker(owned)
    asking = asyncio.ensure_future(lent.open(Address("name.invalid", 1)))
    await owned.aclose()
    with pytest.raises(OSError, match="has ended"):
        await asking
    with pytest.raises(OSError, match="has ended"):
        await lent.open(FREE)
    lent.close()


async def test_the_response_to_an_interrupted_question_is_no_response_to_the_next(owned: OwnedSockets) -> None:
    lent = worker(owned)
    asking = asyncio.ensure_future(lent.open(FREE))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    with pytest.raises(OSError, match="has ended"):
        await lent.keep([])
    lent.close()


@pytest.mark.parametrize(
    "message", [b"shut\n80 h", b"open", b"open\n80", b"open\nx h", b"open\n1 a\n2 b", b"keep\n1 a b", b"\xff"]
)
async def test_what_is_no_message_is_rejected_and_changes_nothing(owned: OwnedSockets, message: bytes) -> None:
    lent = worker(owned)
    kept = await only(lent)
    lent._line.send(message)
    loop = asyncio.get_running_loop()
    assert (await loop.sock_recv(lent._line, 999)).startswith(b"0\n")
    again = await only(lent)
    assert again.getsockname() == kept.getsockname()
    close([kept, again])
    lent.close()


async def test_descriptors_that_found_no_place_are_missed() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    lent = LentSockets(theirs)
    with ours, socket.create_server(("127.0.0.1", 0)) as sock:
        asking = asyncio.ensure_future(lent.open(FREE))
        await asyncio.get_running_loop().sock_recv(unblocked(ours), 999)
        before = descriptors()
        socket.send_fds(ours, [b"2"], [sock.fileno()])
        with pytest.raises(OSError, match="1 of 2 sockets arrived; raise the limit of open files"):
            await asking
        await eventually(lambda: descriptors() <= before, "what arrived is closed")
    lent.close()


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def unblocked(sock: socket.socket) -> socket.socket:
    sock.setblocking(False)
    return sock


async def test_a_drain_during_a_reload_opens_nothing(owned: OwnedSockets) -> None:
    """It is the supervisor that says when callers are refused: the list of the next worker is the one before."""
    lent = worker(owned)
    listeners = Listeners(lambda *_: None, binder=lent)
    await listeners.listen([Listener(FREE)])
    (where,) = listeners.addresses
    changing = asyncio.ensure_future(
        listeners.listen([Listener(Address("127.0.0.1", where[1])), Listener(Address("localhost", 0))])
    )
    await asyncio.sleep(0)
    listeners.close()
    with pytest.raises(OSError, match="the gateway is stopping"):
        await changing
    assert listeners.addresses == []
    assert not refused(where)
    lent.close()


async def test_the_next_program_has_the_sockets_and_serves_the_same_worker(owned: OwnedSockets) -> None:
    lent = worker(owned)
    before = await only(lent)
    await lent.keep([FREE])
    kept = json.loads(json.dumps(owned.kept()))
    duplicated = _duplicated(kept)
    await owned._serving.aclose()
    adopted = OwnedSockets(kept=duplicated)
    with before:
        after = await only(lent)
        assert after.getsockname() == before.getsockname()
        after.close()
    lent.close()
    await eventually(lambda: not adopted._lines, "the end of the line", 5)
    await adopted.aclose()


def _duplicated(kept: KeptSockets) -> KeptSockets:
    """With descriptors of its own, because both programs are one process here."""
    for line in kept["lines"]:
        line["descriptor"] = os.dup(line["descriptor"])
    kept["bindings"]["bound"] = [[os.dup(each) for each in row] for row in kept["bindings"]["bound"]]
    return kept
