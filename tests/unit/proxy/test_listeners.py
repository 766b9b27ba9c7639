from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gateway.config.records import Listener
from gateway.core.address import Address
from gateway.proxy.listeners import Listeners

FREE = Listener(Address("127.0.0.1", 0))


def at(host: str, port: int) -> Listener:
    return Listener(Address(host, port))


async def test_listening_is_all_or_nothing() -> None:
    listeners = Listeners(lambda *_: (asyncio.Protocol(), list))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = Listener(Address("127.0.0.1", taken.getsockname()[1]))
        with pytest.raises(OSError, match="in use"):
            await listeners.listen([FREE, busy])
        assert listeners.addresses == []
        await listeners.listen([FREE, FREE])
        (kept,) = listeners.addresses
        with pytest.raises(OSError, match="in use"):
            await listeners.listen([busy])
        assert listeners.addresses == [kept]
    await listeners.listen([])
    assert listeners.addresses == []


async def test_a_connection_gets_the_protocol_that_was_given() -> None:
    greeted = asyncio.get_running_loop().create_future()

    class Greeter(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            greeted.set_result(transport.get_extra_info("peername"))
            transport.close()

    listeners = Listeners(lambda *_: (Greeter(), list))
    await listeners.listen([FREE])
    _, writer = await asyncio.open_connection(*listeners.addresses[0])
    assert await greeted == writer.get_extra_info("sockname")
    writer.close()
    await writer.wait_closed()
    listeners.close()
    assert listeners.addresses == []


async def test_an_open_address_gets_its_new_settings() -> None:
    seen: asyncio.Queue[Listener] = asyncio.Queue()

    def refuse(listener: Listener, host: str) -> None:
        assert host == "127.0.0.1"
        seen.put_nowait(listener)

    listeners = Listeners(refuse)
    for wanted in (FREE, replace(FREE, http2=True)):
        await listeners.listen([wanted])
        (where,) = listeners.addresses
        _, writer = await asyncio.open_connection(*where)
        assert await seen.get() == wanted
        writer.close()
    listeners.close()


class Closer(asyncio.Protocol):
    """Ends each connection in order: a client of a socket that nobody serves would wait, or be reset."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


async def served(waiting: socket.socket) -> bool:
    with waiting:
        waiting.setblocking(False)
        return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(waiting, 1), 20) == b""


@pytest.fixture
async def listeners() -> AsyncIterator[Listeners]:
    made = Listeners(lambda *_: (Closer(), list))
    yield made
    made.close()


@pytest.mark.parametrize("spelling", ["127.0.0.1", "localhost"])
async def test_the_port_that_the_system_chose_can_be_fixed(listeners: Listeners, spelling: str) -> None:
    await listeners.listen([at(spelling, 0)])
    where = next(address for address in listeners.addresses if address[0] == "127.0.0.1")
    waiting = socket.create_connection(where)  # in the kernel: nothing has accepted it yet
    await listeners.listen([at(*where)])
    assert listeners.addresses == [where]
    assert await served(waiting)
    assert await served(socket.create_connection(where))
    await listeners.listen([at("localhost", where[1]), at(*where)])
    assert listeners.addresses.count(where) == 1
    assert await served(socket.create_connection(where))


async def test_a_rejected_list_leaves_what_is_open(listeners: Listeners) -> None:
    await listeners.listen([FREE])
    (where,) = listeners.addresses
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        await listeners.listen([at(*where), at("127.0.0.1", taken.getsockname()[1])])
    assert listeners.addresses == [where]
    assert await served(socket.create_connection(where))
    await listeners.listen([at("127.0.0.1", where[1])])
    assert await served(socket.create_connection(where))


async def test_a_socket_that_its_owner_closed_is_no_failure(
    listeners: Listeners, caplog: pytest.LogCaptureFixture
) -> None:
    await listeners.listen([FREE])
    ((sock, _),) = listeners._open.values()
    sock.shutdown(socket.SHUT_RDWR)
    listeners._take(sock, FREE.address)
    assert not asyncio.get_running_loop().remove_reader(sock.fileno()), "it is read no more"
    assert (listeners.failures, caplog.messages) == (0, [])
