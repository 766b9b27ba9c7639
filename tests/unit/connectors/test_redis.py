"""The connector `redis` with a server that a test plays. `tests/connectors/test_redis.py` has a real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.config.networks import Destinations
from gateway.config.schema.redis import RedisAction, RedisConnection
from gateway.connectors.connector import Call, ForbiddenError, RejectedError
from gateway.connectors.redis import Redis, RedisAwayError


@asynccontextmanager
async def served(*replies: bytes, **keys: object) -> AsyncIterator[tuple[Redis, list[bytes]]]:
    """A connector whose server gives ``replies``, one for each command of its one connection after another."""
    got: list[bytes] = []
    left = list(replies)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while left and (data := await reader.read(65536)):
            got.append(data)
            writer.write(left.pop(0))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    made = Redis(RedisConnection.model_validate({"url": f"redis://127.0.0.1:{port}/2", **keys}), Destinations())
    yield made, got
    await made.aclose()
    server.close()


def call(*command: str) -> Call[RedisAction]:
    return Call(RedisAction.model_validate({"connection": "c", "command": list(command)}), {}, 10_000)


async def test_a_connection_begins_with_its_credentials_and_database() -> None:
    auth = {"type": "basic", "username": "", "password": "p"}
    async with served(b"%0\r\n", b"+OK\r\n", b"$1\r\na\r\n", b"$1\r\nb\r\n", auth=auth) as (made, got):
        assert [await made.perform(call("GET", "k")) for _ in range(2)] == ["a", "b"]
        assert got[0] == b"*5\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$4\r\nAUTH\r\n$7\r\ndefault\r\n$1\r\np\r\n"
        assert got[1] == b"*2\r\n$6\r\nSELECT\r\n$1\r\n2\r\n"


@pytest.mark.parametrize(
    ("reply", "status"), [(b"-ERR no\r\n", 400), (b"-NOPERM no\r\n", 403), (b"-READONLY no\r\n", 403)]
)
async def test_what_is_rejected(reply: bytes, status: int) -> None:
    async with served(b"%0\r\n", b"+OK\r\n", reply) as (made, _):
        with pytest.raises(RejectedError) as error:
            await made.perform(call("GET", "k"))
        assert (error.value.status, error.value.message) == (status, "no")


@pytest.mark.parametrize(
    "replies",
    [(b"%0\r\n", b"+OK\r\n", b"-LOADING wait\r\n"), (b"-WRONGPASS no\r\n",), (b"%0\r\n", b"-ERR no database\r\n")],
)
async def test_what_is_a_failure(replies: tuple[bytes, ...]) -> None:
    async with served(*replies) as (made, _):
        with pytest.raises(RedisAwayError):
            await made.perform(call("GET", "k"))


async def test_an_error_within_a_list_stays_there() -> None:
    async with served(b"%0\r\n", b"+OK\r\n", b"*2\r\n:1\r\n-ERR no\r\n") as (made, _):
        assert await made.perform(call("MGET", "a", "b")) == [1, {"error": "no", "code": "ERR"}]


async def test_a_denied_address_is_not_dialled() -> None:
    made = Redis(RedisConnection(url="redis://169.254.169.254:80"), Destinations())
    with pytest.raises(ForbiddenError):
        await made.test()


async def test_a_connection_that_the_server_has_closed_is_not_used() -> None:
    async with served(b"%0\r\n", b"+OK\r\n", b"$1\r\na\r\n") as (made, _):
        assert await made.perform(call("GET", "k")) == "a"
        await asyncio.sleep(0)
        with pytest.raises((OSError, EOFError)):
            await made.perform(call("GET", "k"))
        assert not made._idle
