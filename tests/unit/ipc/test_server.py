"""What the worker's end says to requests that it cannot serve."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Protocol

import pytest

from gateway.ipc.channel import operations
from gateway.ipc.server import ChannelServer


class Service(Protocol):
    async def double(self, number: int) -> int: ...
    async def wait(self) -> None: ...


class Served:
    async def double(self, number: int) -> int:
        return 2 * number

    def __init__(self) -> None:
        self.waits = asyncio.Event()

    async def wait(self) -> None:
        self.waits.set()
        await asyncio.Event().wait()

    async def secret(self) -> str:
        return "no operation of the interface"


def listener(folder: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(folder / "channel"))
    made.listen()
    return made


@pytest.mark.parametrize(
    ("op", "body", "response"),
    [
        ("double", [4], {"id": 7, "body": 8}),
        ("secret", [], {"id": 7, "body": None, "error": "there is no operation 'secret'"}),
        ("double", ["4"], {"id": 7, "body": None, "error": "Expected `int`, got `str` - at `$[0]`"}),
        ("double", [], {"id": 7, "body": None, "error": "Expected `array` of length 1"}),
    ],
)
async def test_one_request(tmp_path: Path, op: str, body: list[object], response: object) -> None:
    server = ChannelServer(operations(Service), Served())
    await server.start(listener(tmp_path))
    reader, writer = await asyncio.open_unix_connection(tmp_path / "channel")
    try:
        text = json.dumps({"id": 7, "op": op, "body": body}).encode()
        writer.write(len(text).to_bytes(4, "big") + text)
        size = int.from_bytes(await reader.readexactly(4), "big")
        assert {"body": None, **json.loads(await reader.readexactly(size))} == response
        await server.aclose()
        assert await reader.read() == b""
    finally:
        await server.aclose()
        writer.close()
        await writer.wait_closed()


async def test_the_end_in_the_middle_of_a_request_is_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    served = Served()
    server = ChannelServer(operations(Service), served)
    await server.start(listener(tmp_path))
    reader, writer = await asyncio.open_unix_connection(tmp_path / "channel")
    text = json.dumps({"id": 1, "op": "wait", "body": []}).encode()
    writer.write(len(text).to_bytes(4, "big") + text)
    await served.waits.wait()
    await server.aclose()
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    assert caplog.records == []
