"""On real sockets: how peers leave, and what the watch makes of it."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from harness.patience import eventually
from harness.stream import RESET_ON_CLOSE

from gateway.wire.hangup import HangupWatch


class Holder:
    def __init__(self) -> None:
        self.left = 0

    def peer_left(self) -> None:
        self.left += 1


@pytest.fixture
def watch() -> Iterator[HangupWatch]:
    made = HangupWatch()
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The watched side of a TCP connection, and its peer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
        yield ours, peer
        ours.close()
        peer.close()


def fin(peer: socket.socket) -> None:
    peer.close()


def half_close(peer: socket.socket) -> None:
    peer.shutdown(socket.SHUT_WR)


def rst(peer: socket.socket) -> None:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    peer.close()


@pytest.mark.parametrize("leave", [fin, half_close, rst])
@pytest.mark.parametrize("unread", [b"", b"x" * 4096])
@pytest.mark.parametrize("before", [False, True])
async def test_a_peer_that_leaves_is_noticed_once(
    watch: HangupWatch, pair: tuple[socket.socket, socket.socket], leave: object, unread: bytes, before: bool
) -> None:
    ours, peer = pair
    assert callable(leave)
    holder = Holder()
    peer.sendall(unread)
    if before:
        leave(peer)
    assert watch.watch(ours.fileno(), holder)
    if not before:
        leave(peer)
    await eventually(lambda: holder.left == 1, "the hang-up is noticed")
    assert len(watch) == 0


async def test_bytes_are_no_hangup(watch: HangupWatch, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, peer = pair
    quiet, noisy = Holder(), Holder()
    assert watch.watch(ours.fileno(), quiet)
    peer.sendall(b"x" * 1000)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        other = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
        with theirs:
            assert watch.watch(theirs.fileno(), noisy)
            other.close()
            await eventually(lambda: noisy.left == 1, "the watch is awake")
    assert (quiet.left, len(watch)) == (0, 1)


async def test_a_forgotten_socket_can_be_watched_again(
    watch: HangupWatch, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, peer = pair
    first, second = Holder(), Holder()
    assert watch.watch(ours.fileno(), first)
    watch.forget(ours.fileno(), first)
    assert watch.watch(ours.fileno(), second)
    watch.forget(ours.fileno(), first)  # late: the descriptor belongs to the second by now
    peer.close()
    await eventually(lambda: second.left == 1, "the second hears of it")
    assert first.left == 0


async def test_a_closed_socket_leaves_no_trace(watch: HangupWatch, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = pair
    holder = Holder()
    descriptor = ours.fileno()
    assert watch.watch(descriptor, holder)
    ours.close()
    watch.forget(descriptor, holder)
    assert len(watch) == 0


async def test_what_can_not_be_watched_is_said(watch: HangupWatch) -> None:
    assert not watch.watch(10_000_000, Holder())
    assert len(watch) == 0
