"""The channel on a real Unix socket: answers, refusals, breaks and new beginnings."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.workers.channel import ChannelClient, ChannelError, ChannelServer, RefusedError


async def echo(body: Any) -> object:
    return body


async def fail(body: Any) -> object:
    raise OSError("the address is taken")


async def hang(body: Any) -> object:
    await asyncio.sleep(60)
    return None


class End:
    """The worker's end at a path that can be opened again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.server: ChannelServer | None = None

    async def open(self) -> None:
        listener = socket.socket(socket.AF_UNIX)
        self.path.unlink(missing_ok=True)
        listener.bind(str(self.path))
        listener.listen()
        self.server = ChannelServer({"echo": echo, "fail": fail, "hang": hang})
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
    made = ChannelClient(str(end.path), timeout=0.3)
    yield made
    await made.aclose()


async def test_many_questions_over_one_connection(client: ChannelClient) -> None:
    assert await asyncio.gather(*(client.call("echo", b"%d" % n) for n in range(50))) == list(range(50))
    assert client.dials == 1


async def test_large_bodies(client: ChannelClient) -> None:
    text = "x" * (5 << 20)
    assert await client.call("echo", b'"%b"' % text.encode()) == text


async def test_a_refusal_leaves_the_connection_whole(client: ChannelClient, caplog: pytest.LogCaptureFixture) -> None:
    for op, hint in (("fail", "the address is taken"), ("nothing", "there is no operation")):
        with pytest.raises(RefusedError, match=hint):
            await client.call(op)
    assert await client.call("echo", b"1") == 1
    assert client.dials == 1


async def test_a_worker_that_does_not_answer(client: ChannelClient) -> None:
    with pytest.raises(ChannelError, match="did not answer hang within") as caught:
        await client.call("hang")
    assert not isinstance(caught.value, RefusedError)
    assert await client.call("echo", b"1") == 1
    assert client.dials == 2


async def test_a_worker_that_is_away_and_comes_back(client: ChannelClient, end: End) -> None:
    assert await client.call("echo", b"1") == 1
    await end.close()
    end.path.unlink(missing_ok=True)  # from Python 3.13 on the server itself does it
    for _ in range(2):
        with pytest.raises(ChannelError, match="can not be reached"):
            await client.call("echo", b"1")
    await end.open()
    assert await client.call("echo", b"1") == 1
    assert client.dials == 2


async def test_garbage_ends_its_connection_alone(client: ChannelClient, end: End) -> None:
    for junk in (b"\xff\xff\xff\xff", b"\x00\x00\x00\x02[]", b"\x00\x00\x00\x05{half"):
        _, writer = await asyncio.open_unix_connection(str(end.path))
        writer.write(junk)
        writer.close()
        await writer.wait_closed()
    assert await client.call("echo", b"1") == 1
