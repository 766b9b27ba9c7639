"""The channel on a real Unix socket: responses, refusals, breaks and new beginnings."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from gateway.ipc.channel import ChannelClient, ChannelError, NoChannel, Operation, RefusedError, operations
from gateway.ipc.messages import DataPlane
from gateway.ipc.server import ChannelServer


@dataclass(frozen=True, slots=True)
class Pair:
    left: str
    right: tuple[int, ...]


class Service(Protocol):
    async def echo(self, pair: Pair) -> Pair: ...

    async def swap(self, left: str, right: str) -> tuple[str, str]: ...

    async def fail(self) -> None: ...

    async def hang(self) -> None: ...

    async def number(self) -> int: ...

    def _private(self) -> None: ...


class Served:
    async def echo(self, pair: Pair) -> Pair:
        return pair

    async def swap(self, left: str, right: str) -> tuple[str, str]:
        return right, left

    async def fail(self) -> None:
        raise OSError("the address is taken")

    async def hang(self) -> None:
        await asyncio.sleep(60)

    async def number(self) -> object:
        return "no number"


TABLE = operations(Service)
PAIR = Pair("a", (1, 2))


class End:
    """The worker's end at a path that can be opened again."""

    def __init__(self, path: Path, table: Mapping[str, Operation] = TABLE) -> None:
        self.path = path
        self.table = table
        self.server: ChannelServer | None = None

    async def open(self) -> None:
        listener = socket.socket(socket.AF_UNIX)
        self.path.unlink(missing_ok=True)
        listener.bind(str(self.path))
        listener.listen()
        self.server = ChannelServer(self.table, Served())
        await self.server.start(listener)

    async def close(self) -> None:
        if self.server is not None:
            await self.server.aclose()
            await asyncio.sleep(0.01)  # its connection tasks see the end


@pytest.fixture
async def end(tmp_path: Path) -> AsyncIterator[End]:
    made = End(tmp_path / "channel")
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def client(end: End) -> AsyncIterator[ChannelClient]:
    made = ChannelClient(str(end.path), TABLE)
    yield made
    await made.aclose()


def test_the_operations_are_the_public_methods() -> None:
    assert TABLE.keys() == {"echo", "swap", "fail", "hang", "number"}


def test_every_type_of_a_data_plane_can_travel() -> None:
    """A decoder is made for each annotation, which fails for what JSON cannot hold."""
    assert operations(DataPlane).keys() == {name for name in dir(DataPlane) if not name.startswith("_")}


async def test_many_questions_over_one_connection(client: ChannelClient) -> None:
    pairs = [Pair("x", (n,)) for n in range(50)]
    assert await asyncio.gather(*(client.call(Service.echo, pair) for pair in pairs)) == pairs
    assert client.dials == 1


async def test_arguments_keep_their_order(client: ChannelClient) -> None:
    assert await client.call(Service.swap, "a", "b") == ("b", "a")


async def test_large_bodies(client: ChannelClient) -> None:
    pair = Pair("x" * (5 << 20), ())
    assert await client.call(Service.echo, pair) == pair


async def test_a_refusal_leaves_the_connection_whole(client: ChannelClient) -> None:
    with pytest.raises(RefusedError, match="the address is taken"):
        await client.call(Service.fail)
    assert await client.call(Service.echo, PAIR) == PAIR
    assert client.dials == 1


async def test_a_result_of_another_type_is_an_error_of_the_channel(client: ChannelClient) -> None:
    with pytest.raises(ChannelError, match="response to number cannot be read") as caught:
        await client.call(Service.number)
    assert not isinstance(caught.value, RefusedError)
    assert await client.call(Service.echo, PAIR) == PAIR
    assert client.dials == 1


async def test_a_worker_that_does_not_answer(end: End) -> None:
    client = ChannelClient(str(end.path), TABLE, timeout=0.3)
    with pytest.raises(ChannelError, match="did not respond to hang within") as caught:
        await client.call(Service.hang)
    assert not isinstance(caught.value, RefusedError)
    assert await client.call(Service.echo, PAIR) == PAIR
    assert client.dials == 2
    await client.aclose()


async def test_a_worker_that_is_away_and_comes_back(client: ChannelClient, end: End) -> None:
    assert await client.call(Service.echo, PAIR) == PAIR
    await end.close()
    end.path.unlink(missing_ok=True)  # from Python 3.13 on the server itself does it
    for _ in range(2):
        with pytest.raises(ChannelError, match="cannot be reached"):
            await client.call(Service.echo, PAIR)
    await end.open()
    assert await client.call(Service.echo, PAIR) == PAIR
    assert client.dials == 2


@pytest.mark.parametrize("text", [b"[]", b"{half", b'{"id":1,"body":null,"error":5}', b'{"id":2,"body":null}'])
async def test_a_response_that_is_none_ends_the_connection(tmp_path: Path, text: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(4)
        writer.write(len(text).to_bytes(4, "big") + text)
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(serve, tmp_path / "channel")
    client = ChannelClient(str(tmp_path / "channel"), TABLE)
    with pytest.raises(ChannelError):
        await client.call(Service.hang)
    assert not client.connected
    server.close()
    await client.aclose()


async def test_garbage_ends_its_connection_alone(client: ChannelClient, end: End) -> None:
    for junk in (b"\xff\xff\xff\xff", b"\x00\x00\x00\x02[]", b"\x00\x00\x00\x05{half"):
        _, writer = await asyncio.open_unix_connection(str(end.path))
        writer.write(junk)
        writer.close()
        await writer.wait_closed()
    assert await client.call(Service.echo, PAIR) == PAIR


async def test_without_a_worker_each_call_fails_with_the_reason() -> None:
    with pytest.raises(ChannelError, match="nothing runs"):
        await NoChannel("nothing runs").call(Service.echo, PAIR)
