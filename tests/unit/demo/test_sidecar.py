"""The fragile sidecar on real sockets: it answers, fails on demand, and suffers when overrun."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from harness.patience import eventually

from gateway.demo.sidecar import BREAKS, Sidecar

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Client:
    """Speaks to the sidecar, one connection a request."""

    def __init__(self, sidecar: Sidecar, port: int) -> None:
        self.sidecar = sidecar
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []

    async def open(self, method: str, target: str, body: bytes = b"") -> Streams:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers.append(writer)
        head = f"{method} {target} HTTP/1.1\r\nHost: sidecar\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        return reader, writer

    async def ask(self, method: str, target: str, body: bytes = b"") -> tuple[int, dict[str, object]]:
        reader, writer = await self.open(method, target, body)
        status = int((await reader.readuntil(b"\r\n\r\n")).split()[1])
        document = json.loads(await reader.readline())
        writer.close()
        return status, document

    async def inside(self, count: int) -> None:
        """Wait until ``count`` requests are inside."""
        await eventually(lambda: self.sidecar.stats.inside == count, f"{count} requests inside")

    async def aclose(self) -> None:
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    sidecar = Sidecar()
    client = Client(sidecar, await sidecar.start())
    yield client
    await client.aclose()
    await sidecar.aclose()


async def test_it_answers(client: Client) -> None:
    assert await client.ask("GET", "/json") == (200, {"message": "hello from the sidecar"})
    assert await client.ask("POST", "/echo", b"abc") == (200, {"bytes": 3, "body": "abc"})
    assert await client.ask("GET", "/slow?seconds=0.01") == (200, {"message": "that was 0.01 seconds of work"})


async def test_what_it_does_not_know_is_told(client: Client) -> None:
    assert (await client.ask("GET", "/nowhere"))[0] == 404
    assert (await client.ask("DELETE", "/json"))[0] == 404
    assert (await client.ask("GET", "/slow?seconds=soon"))[0] == 400


async def test_nonsense_is_answered_with_400_and_the_end(client: Client) -> None:
    reader, writer = await client.open("GET", "/json")
    await reader.readuntil(b"\r\n\r\n")
    await reader.readline()
    writer.write(b"nonsense\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.0 400 Bad Request\r\n")
    assert await client.ask("GET", "/json") == (200, {"message": "hello from the sidecar"})


async def test_a_body_above_a_mebibyte_is_beyond_it(client: Client) -> None:
    reader, _ = await client.open("POST", "/echo", b"x" * ((1 << 20) + 1))
    assert (await reader.readuntil(b"\r\n\r\n")).split()[1] == b"413"


async def test_a_connection_is_kept_for_the_next_request(client: Client) -> None:
    reader, writer = await client.open("GET", "/stats")
    for number in (1, 2):
        await reader.readuntil(b"\r\n\r\n")
        assert json.loads(await reader.readline())["connections"] == 1, number
        writer.write(b"GET /stats HTTP/1.1\r\nHost: sidecar\r\n\r\n")


async def test_it_fails_as_often_as_it_is_told(client: Client) -> None:
    assert await client.ask("POST", "/fail?count=2") == (200, {"answers_that_will_fail": 2})
    assert [(await client.ask("GET", "/json"))[0] for _ in range(3)] == [500, 500, 200]
    assert client.sidecar.stats.failed == 2


async def test_tokens_come_one_by_one(client: Client) -> None:
    reader, _ = await client.open("GET", "/tokens?n=2")
    await reader.readuntil(b"\r\n\r\n")
    assert await reader.readuntil(b"\n\n\r\n") == b'1b\r\ndata: {"token": "word-0"}\n\n\r\n'
    assert client.sidecar.stats.inside == 1, "the first token is out before the answer is complete"
    assert (await reader.readuntil(b"0\r\n\r\n")).endswith(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")


async def test_overrun_it_gets_slower_and_then_fails(client: Client) -> None:
    """Ten at once: the eighth takes 8/5 of its time, the last two fail at once, as does nobody else."""
    loop = asyncio.get_running_loop()

    async def timed() -> tuple[int, float]:
        begun = loop.time()
        status, _ = await client.ask("GET", "/slow?seconds=1")
        return status, loop.time() - begun

    borne = [asyncio.create_task(timed()) for _ in range(BREAKS)]
    await client.inside(BREAKS)
    assert [status for status, _ in await asyncio.gather(timed(), timed())] == [500] * 2
    answers = await asyncio.gather(*borne)
    assert [status for status, _ in answers] == [200] * BREAKS
    assert max(seconds for _, seconds in answers) >= 8 / 5 - 1e-6
    assert client.sidecar.stats.peak == BREAKS + 1


async def test_a_client_that_leaves_is_counted(client: Client) -> None:
    _, writer = await client.open("GET", "/slow?seconds=30")
    await client.inside(1)
    writer.close()
    await client.inside(0)
    assert client.sidecar.stats.abandoned == 1
    assert client.sidecar.stats.seen == 1


async def test_closing_ends_what_still_runs(client: Client) -> None:
    await client.open("GET", "/slow?seconds=30")
    await client.inside(1)
    await client.sidecar.aclose()
    assert client.sidecar.stats.inside == 0
    assert client.sidecar.stats.abandoned == 1
