"""A link without a socket: what it reads, what it writes, and when it rests."""

from __future__ import annotations

import asyncio
import socket

import pytest
from harness.patience import eventually
from harness.scripted import ScriptedTransport
from harness.stream import RESET_ON_CLOSE

from gateway.wire.buffers import BUFFER_SIZE, BufferPool
from gateway.wire.link import FEW_PIECES, FULL_READS, MANY_PIECES, SMALL_READ, Link

pytestmark = pytest.mark.interpreted  # `Reader` inherits from a class of the gateway's


class Reader(Link):
    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop(), BufferPool())
        self.got: list[bytes] = []

    def buffer_updated(self, nbytes: int) -> None:
        self.got.append(bytes(self._buffers.current[:nbytes]))
        if nbytes == self._read_size:
            self.full_read()


async def test_what_is_not_taken_makes_it_full() -> None:
    link = Reader()
    transport = ScriptedTransport(link)
    link.write(b"one")
    assert (bytes(transport.taken), link.full, link.unsent) == (b"one", False, 0)
    transport.stop()
    link.write(b"two")
    assert (link.full, link.unsent) == (True, 3)
    transport.take()
    assert (bytes(transport.taken), link.full, link.unsent) == (b"onetwo", False, 0)
    assert link.blocked >= 0.0


async def test_nothing_is_written_after_the_end() -> None:
    link = Reader()
    transport = ScriptedTransport(link)
    assert link.alive
    link.abort()
    link.write(b"late")
    assert (link.alive, bytes(transport.taken)) == (False, b"")


async def test_the_end_behind_what_was_written() -> None:
    link = Reader()
    transport = ScriptedTransport(link)
    link.finish()
    assert transport.eof
    assert link.eof_received() is False, "by itself a link closes when its peer has ended"
    link.abort()
    transport.eof = False
    link.finish()
    assert not transport.eof


async def test_bytes_that_the_peer_has_yet_to_take() -> None:
    link = Reader()
    assert link.waiting() == 0
    near, far = socket.socketpair()
    transport = ScriptedTransport(link, socket=near)
    transport.stop()
    link.transport.write(b"inside") if link.transport else None
    assert link.waiting() == 6
    near.send(b"x" * 1000)
    assert link.waiting() > 6, "those that the kernel has are among them"
    far.close()
    near.close()
    assert link.waiting() == 6


async def test_a_reset_is_told_from_an_end() -> None:
    def connected() -> tuple[Reader, socket.socket]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            near = socket.create_connection(listener.getsockname())
            far, _ = listener.accept()
        link = Reader()
        ScriptedTransport(link, socket=near)
        return link, far

    link, far = connected()
    assert not link.was_reset()
    far.shutdown(socket.SHUT_WR)
    await asyncio.sleep(0.01)
    assert not link.was_reset()
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    far.close()
    await eventually(link.was_reset)
    assert link.transport is not None
    link.transport.get_extra_info("socket").close()
    assert link.was_reset()
    link.abort()
    assert link.was_reset()
    unknown = Reader()
    ScriptedTransport(unknown)
    assert not unknown.was_reset()


async def test_a_guarded_socket_is_reset_on_every_close() -> None:
    for guards in (1, 2):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            near = socket.create_connection(listener.getsockname())
            far, _ = listener.accept()
        link = Reader()
        link.guard()
        ScriptedTransport(link, socket=near)
        link.guard()
        if guards == 1:
            link.unguard()
        near.close()
        with far:
            if guards == 1:
                assert far.recv(1) == b""
            else:
                with pytest.raises(ConnectionResetError):
                    far.recv(1)
        link.unguard()


async def test_a_fast_peer_lets_others_have_their_turn() -> None:
    link = Reader()
    transport = ScriptedTransport(link)
    transport.say(b"x" * BUFFER_SIZE * FULL_READS)
    assert not transport.reading
    await asyncio.sleep(0)
    assert transport.reading


@pytest.mark.parametrize("held_first", [True, False])
async def test_a_turn_does_not_start_a_link_that_is_held(held_first: bool) -> None:
    link = Reader()
    transport = ScriptedTransport(link)
    if held_first:
        link.pause_reading()
        link.rest_a_turn()
    else:
        link.rest_a_turn()
        link.pause_reading()
    await asyncio.sleep(0)
    assert not transport.reading
    link.resume_reading()
    assert transport.reading


async def test_a_link_that_rests_is_not_started_by_its_sink() -> None:
    link = Reader()
    transport = ScriptedTransport(link)
    link.rest_a_turn()
    link.resume_reading()
    assert not transport.reading
    await asyncio.sleep(0)
    assert transport.reading


async def test_many_small_pieces_make_the_reads_small() -> None:
    link = Reader()
    ScriptedTransport(link)
    assert len(link.get_buffer(-1)) == BUFFER_SIZE
    link.took_pieces(MANY_PIECES)
    assert len(link.get_buffer(-1)) == SMALL_READ
    link.took_pieces(FEW_PIECES)
    assert len(link.get_buffer(-1)) == SMALL_READ
    link.took_pieces(FEW_PIECES - 1)
    assert len(link.get_buffer(-1)) == BUFFER_SIZE


async def test_a_connection_that_can_not_begin_is_aborted(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Reader):
        def _connected(self, transport: asyncio.BaseTransport) -> None:
            raise ValueError("a defect")

    transport = ScriptedTransport(Broken())
    assert transport.lost
    assert "a connection could not begin" in caplog.text
