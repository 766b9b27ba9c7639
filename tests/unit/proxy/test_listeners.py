from __future__ import annotations

import asyncio
import socket
from dataclasses import replace

import pytest

from gateway.config.records import Listener
from gateway.core.address import Address
from gateway.proxy.listeners import Listeners

FREE = Listener(Address("127.0.0.1", 0))


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
