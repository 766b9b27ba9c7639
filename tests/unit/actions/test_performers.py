"""Live connectors over reloads: what stays, what is built aside, and what is closed after its last call."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from harness import strangers
from harness.patience import eventually

from gateway.actions.performers import Performers
from gateway.config.actions import Connection
from gateway.config.networks import Destinations
from gateway.config.records import UpstreamNetworks

SOURCE = """
from typing import Any
from gateway.connectors.connector import Call, ConnectionSection, Connector, Secret

class Settings(ConnectionSection):
    number: int = 0
    password: Secret = "none"

class Counting(Connector[Settings, Any]):
    Connection = Settings
    live: list["Counting"] = []
    loads = 0

    @classmethod
    def load(cls) -> None:
        cls.loads += 1

    def __init__(self, connection: Settings, destinations: Any) -> None:
        super().__init__(connection, destinations)
        if connection.number < 0:
            raise RuntimeError(connection.password)
        self.closed = False
        self.live.append(self)

    async def perform(self, call: Call[Any]) -> Any: ...
    async def test(self) -> None: ...

    async def aclose(self) -> None:
        self.closed = True
"""
FREE = Destinations()


@pytest.fixture
def counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    name = f"counting_{tmp_path.name}"
    monkeypatch.syspath_prepend(strangers.installed(tmp_path, "counting", f"{name}:Counting", SOURCE))
    strangers.forget()
    from gateway.config.kinds import kind_of

    yield kind_of("counting")
    strangers.forget()


def connection(name: str, number: int = 0, **more: object) -> Connection:
    settings = {"kind": "counting", "number": number, **more}
    return Connection(
        f"trn:openact:t:connection/counting/{name}@v1", "counting://", "u", kind="counting", settings=settings
    )


WEB = Connection("trn:openact:t:connection/http/web@v1", "http://h", "u")


async def applied(performers: Performers, *connections: Connection, destinations: Destinations = FREE) -> None:
    await performers.prepare(connections, destinations)
    performers.adopt(destinations)


async def test_what_stays_the_same_stays_open(counting: Any) -> None:
    performers = Performers()
    await applied(performers, WEB, connection("a"), connection("b"))
    assert [one.connection.number for one in counting.live] == [0, 0]
    await applied(performers, connection("a"), connection("b", 7))
    assert [one.connection.number for one in counting.live] == [0, 0, 7]
    await eventually(lambda: [one.closed for one in counting.live] == [False, True, False], "the changed one is closed")
    await performers.aclose()
    assert all(one.closed for one in counting.live)


async def test_a_call_ends_on_the_connector_that_it_began_with(counting: Any) -> None:
    performers = Performers()
    await applied(performers, connection("a"))
    trn = connection("a").trn
    async with performers.borrowed(trn) as first:
        await applied(performers, connection("a", 1))
        async with performers.borrowed(trn) as second:
            assert second is not first
        await asyncio.sleep(0)
        assert not cast(Any, first).closed
    await eventually(lambda: cast(Any, first).closed, "closed after its last call")
    await performers.aclose()


async def test_what_is_rejected_leaves_nothing_behind(counting: Any) -> None:
    performers = Performers()
    await applied(performers, connection("a"))
    await performers.prepare([connection("a", 1)], FREE)
    performers.abandon()
    await eventually(lambda: [one.closed for one in counting.live] == [False, True], "what was prepared is closed")
    async with performers.borrowed(connection("a").trn) as connector:
        assert connector is counting.live[0]
    await performers.aclose()


async def test_a_connector_that_cannot_be_made_keeps_its_secrets(counting: Any) -> None:
    performers = Performers()
    with pytest.raises(OSError, match=r"counting/a@v1 cannot be used: RuntimeError$") as error:
        await performers.prepare([connection("b"), connection("a", -1, password="s3cret")], FREE)
    assert "s3cret" not in str(error.value)
    await eventually(lambda: [one.closed for one in counting.live] == [True], "the other one is closed")
    await performers.aclose()


async def test_other_destinations_are_for_new_connectors(counting: Any) -> None:
    performers = Performers()
    await applied(performers, connection("a"))
    await applied(performers, connection("a"), destinations=Destinations(UpstreamNetworks(deny=("10.0.0.0/8",))))
    await eventually(lambda: [one.closed for one in counting.live] == [True, False], "the earlier one is closed")
    await performers.aclose()
