"""What fails in a callback is cut, counted, and logged once a second."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from pathlib import Path

import pytest
from harness.patience import eventually

from gateway.app import Gateway
from gateway.config.records import Document, Listener
from gateway.core.address import Address
from gateway.observe.failures import CallbackFailures
from gateway.wire.timer import LazyTimer

RESET = struct.pack("ii", 1, 0)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Faulty(asyncio.BufferedProtocol):
    """Fails in one callback of a connection, as none of ours should."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.lost = False
        self.transport: asyncio.Transport
        self.timer = LazyTimer(asyncio.get_running_loop(), self.expire)

    def _do(self, where: str) -> None:
        if where == self.where:
            raise ZeroDivisionError(where)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "abort")
        self.transport = transport  # type: ignore[assignment]
        self.transport.set_write_buffer_limits(high=0)
        if self.where == "expire":
            self.timer.arm(1e-9)

    def get_buffer(self, sizehint: int) -> bytearray:
        self._do("get_buffer")
        return bytearray(100)

    def buffer_updated(self, nbytes: int) -> None:
        self._do("buffer_updated")
        if self.where == "pause_writing":
            self.transport.write(bytes(1 << 24))

    def eof_received(self) -> None:
        self._do("eof_received")

    def pause_writing(self) -> None:
        self._do("pause_writing")

    def expire(self) -> None:
        self._do("expire")

    def abort(self) -> None:
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


@pytest.mark.parametrize("where", ["get_buffer", "buffer_updated", "eof_received", "pause_writing", "expire"])
async def test_a_callback_that_fails_costs_its_connection_and_nothing_else(
    where: str, caplog: pytest.LogCaptureFixture
) -> None:
    loop = asyncio.get_running_loop()
    failures = CallbackFailures()
    failures.attach(loop)
    made: list[Faulty] = []

    def make() -> Faulty:
        made.append(Faulty(where))
        return made[-1]

    server = await loop.create_server(make, "127.0.0.1", 0)
    clients = []
    for _ in range(10):
        client = socket.create_connection(server.sockets[0].getsockname())
        clients.append(client)
        client.sendall(b"x")
        if where == "eof_received":
            client.shutdown(socket.SHUT_WR)
    await eventually(lambda: len(made) == 10 and all(protocol.lost for protocol in made), "the end of all")
    assert failures.count == 10
    entries = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(entries) == 1
    assert entries[0].exc_info is not None
    # uvloop does not say what get_buffer raised.
    assert isinstance(entries[0].exc_info[1], RuntimeError if where == "get_buffer" else ZeroDivisionError)
    for client in clients:
        client.close()
    server.close()
    failures.detach()


async def test_what_was_not_logged_is_counted_in_the_next_entry(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    failures = CallbackFailures(clock)
    loop = asyncio.get_running_loop()
    for at in (0.0, 0.1, 0.9, 1.0):
        clock.now = at
        failures.heard(loop, {"message": f"at {at}", "exception": None})
    assert [record.getMessage() for record in caplog.records] == ["at 0.0", "at 1.0 (2 more since the last such line)"]


async def test_a_handler_that_is_there_already_stays() -> None:
    loop = asyncio.get_running_loop()
    heard: list[str] = []
    loop.set_exception_handler(lambda _, context: heard.append(context["message"]))
    failures = CallbackFailures()
    failures.attach(loop)
    loop.call_exception_handler({"message": "theirs"})
    failures.detach()
    loop.call_exception_handler({"message": "theirs too"})
    assert (heard, failures.count) == (["theirs", "theirs too"], 0)
    loop.set_exception_handler(None)


@pytest.mark.parametrize("when", ["before it is accepted", "before it has a transport"])
async def test_a_peer_that_has_no_name_any_more_leaves_nothing_behind(
    when: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It resets while it waits in the kernel, or between the accept and the first callback: then it has no address."""
    document = Document(listen=(Listener(Address("127.0.0.1", 0)),), trusted_proxies=("10.0.0.0/8",))
    async with Gateway(document) as gateway:

        def descriptors() -> int:
            return len(list(Path("/proc/self/fd").iterdir()))

        def reset(client: socket.socket) -> None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            client.close()

        address = gateway.addresses[0]
        with socket.create_connection(address):
            await eventually(lambda: gateway.connections == 1)
        await eventually(lambda: gateway.connections == 0)
        before = descriptors()
        for _ in range(50):
            client = socket.create_connection(address)
            if when == "before it has a transport":
                # The accept takes a turn of the event loop; the reset comes in the turn after it.
                asyncio.get_running_loop().call_soon(reset, client)
                await asyncio.sleep(0)
            else:
                reset(client)
        await eventually(lambda: descriptors() <= before, "all descriptors back")
        assert (gateway.connections, gateway.failures.count) == (0, 0)
        assert await gateway.drain(1)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
