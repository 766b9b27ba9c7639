"""What all workers are sent, what a new one is sent again, and what happens when one rejects or is away."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from harness.patience import eventually

from gateway.config.records import Credentials, Document, Route, TokenRecord
from gateway.ipc import client
from gateway.ipc.channel import ChannelClient, ChannelError, RefusedError, operations
from gateway.ipc.client import WorkerClient
from gateway.ipc.fleet import Fleet
from gateway.ipc.messages import DataPlane, Health, InForce, Prepared, Refusals
from gateway.ipc.server import ChannelServer
from gateway.workers.local_plane import LocalPlane

FIRST = Document(routes=(Route("a", "/a", "a"),))
SECOND = Document(routes=(Route("b", "/b", "b"),))
CREDENTIALS = Credentials({"d": TokenRecord("1", "ci")})


class Worker(LocalPlane):
    """Remembers what it was sent; refuses documents whose first proxy is ``refused``. It serves no traffic."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.documents: list[Document] = []
        self.generation = 0
        self.waiting: Document | None = None
        self.tokens: list[str] = []
        self.refused = ""
        self.fails = False
        """Its commit does not work."""
        self.wanted: tuple[str, ...] = ()
        self.draining = False
        self.lines: list[dict[str, object]] = []
        self.server: ChannelServer

    @property
    def names(self) -> list[str]:
        return [document.routes[0].name for document in self.documents]

    async def ping(self) -> Health:
        return Health(self.draining, self.wanted)

    async def prepare(self, document: Document) -> Prepared:
        if document.routes[0].name == self.refused:
            raise OSError("the address is taken")
        changed = not self.documents or document != self.documents[-1]
        self.waiting = document if changed else None
        return Prepared(self.generation, changed)

    async def commit(self, generation: int) -> InForce:
        if self.fails:
            raise OSError("the commit failed")
        if self.waiting is not None:
            self.documents.append(self.waiting)
        self.waiting, self.generation = None, generation
        return InForce(generation, (("127.0.0.1", 80),))

    async def abandon(self) -> None:
        self.waiting = None

    async def identify(self, credentials: Credentials) -> None:
        self.tokens = list(credentials.tokens)

    async def take_used(self) -> Mapping[str, float]:
        return {"d": 1.0}

    async def reset_breaker(self, name: str, by: str) -> bool:
        return (name, by) == ("a", "ann")

    async def find(self, request_id: str) -> Mapping[str, object] | None:
        return {"request_id": request_id} if request_id == self.path.name else None

    async def refusals(self, since: int, most: int) -> Refusals:
        return {"next": len(self.lines), "items": self.lines[since:][-most:]}

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        listener = socket.socket(socket.AF_UNIX)
        self.path.unlink(missing_ok=True)
        listener.bind(str(self.path))
        listener.listen()
        self.server = ChannelServer(operations(DataPlane), self)
        await self.server.start(listener)
        try:
            yield
        finally:
            await self.server.aclose()
            self.path.unlink(missing_ok=True)  # from Python 3.13 on the server itself does it
            await asyncio.sleep(0.01)


class Seats:
    """The processes that run, as the supervisor would say; the killed ones."""

    def __init__(self) -> None:
        self.pids = {0: 100, 1: 101}
        self.killed: list[int] = []


@pytest.fixture
def seats() -> Seats:
    return Seats()


@pytest.fixture
async def fleet(tmp_path: Path, seats: Seats) -> AsyncIterator[Fleet]:
    table = operations(DataPlane)
    clients = [WorkerClient(ChannelClient(str(tmp_path / str(place)), table, timeout=1)) for place in (0, 1)]
    made = Fleet(
        [client.Worker(place, place, each) for place, each in enumerate(clients)],
        lambda: seats.pids,
        seats.killed.append,
    )
    yield made
    await made.aclose()


@asynccontextmanager
async def both(folder: Path) -> AsyncIterator[tuple[Worker, Worker]]:
    first, second = Worker(folder / "0"), Worker(folder / "1")
    async with first.run(), second.run():
        yield first, second


async def test_all_get_the_document_and_its_number(fleet: Fleet, tmp_path: Path) -> None:
    async with both(tmp_path) as workers:
        await fleet.identify(CREDENTIALS)
        for document in (FIRST, replace(FIRST), SECOND, FIRST):
            await fleet.apply(document)
        for worker in workers:
            assert (worker.names, worker.tokens, worker.generation) == (["a", "b", "a"], ["d"], 3)
        assert fleet.in_force == InForce(3, (("127.0.0.1", 80),))


async def test_what_one_rejects_none_serves(fleet: Fleet, tmp_path: Path, seats: Seats) -> None:
    async with both(tmp_path) as (first, second):
        await fleet.apply(FIRST)
        second.refused = "b"
        with pytest.raises(
            RefusedError, match=r"the address is taken \(worker 1 of 2 refuses it, so none applies it\)"
        ):
            await fleet.apply(SECOND)
        assert (first.names, second.names) == (["a"], ["a"])
        assert first.waiting is None
        assert fleet.in_force.generation == 1
        assert seats.killed == []
        second.refused = ""
        await fleet.apply(SECOND)
        assert (first.names, second.names, fleet.in_force.generation) == (["a", "b"], ["a", "b"], 2)


async def test_one_that_cannot_follow_is_killed(fleet: Fleet, tmp_path: Path, seats: Seats) -> None:
    async with both(tmp_path) as (first, second):
        await fleet.apply(FIRST)
        second.fails = True
        await fleet.apply(SECOND)
        assert (first.names, second.names) == (["a", "b"], ["a"])
        assert seats.killed == [101]


async def test_one_that_has_not_started_yet_is_not_killed(fleet: Fleet, tmp_path: Path, seats: Seats) -> None:
    first, second = Worker(tmp_path / "0"), Worker(tmp_path / "1")
    async with first.run():
        await fleet.apply(FIRST)
        assert (first.names, seats.killed) == (["a"], [])
        watch = asyncio.create_task(fleet.keep_synced())
        async with second.run():
            await eventually(lambda: second.names == ["a"] and second.generation == 1, "all of it")
        watch.cancel()


async def test_a_control_process_that_comes_back_keeps_the_number(fleet: Fleet, tmp_path: Path) -> None:
    async with both(tmp_path) as (first, second):
        first.documents, first.generation = [FIRST], 7
        await fleet.apply(FIRST)
        assert (first.names, second.names) == (["a"], ["a"])
        assert first.generation == second.generation == fleet.in_force.generation == 7


async def test_a_new_process_hears_everything(fleet: Fleet, tmp_path: Path, seats: Seats) -> None:
    watch = asyncio.create_task(fleet.keep_synced())
    with pytest.raises(ChannelError):
        await fleet.apply(FIRST)
    with pytest.raises(ChannelError):
        await fleet.identify(CREDENTIALS)
    for number in range(3):
        async with both(tmp_path) as workers:
            seats.pids = {0: 200 + number, 1: 300 + number}

            def informed() -> bool:
                return fleet.reachable and all(w.names == ["a"] and w.tokens == ["d"] for w in workers)

            await eventually(informed, "all of it")
            assert {worker.generation for worker in workers} == {1}
        await eventually(lambda: not fleet.reachable, "their end")
    watch.cancel()


async def test_a_process_that_ends_as_it_should_is_no_error(
    fleet: Fleet, tmp_path: Path, seats: Seats, caplog: pytest.LogCaptureFixture
) -> None:
    watch = asyncio.create_task(fleet.keep_synced())
    first, second = Worker(tmp_path / "0"), Worker(tmp_path / "1")
    async with first.run():
        async with second.run():
            await eventually(lambda: len(fleet.responding) == 2, "both")
            seats.pids = {0: 100}
        await eventually(lambda: len(fleet.responding) == 1, "its end")
        assert caplog.records == []
    await eventually(lambda: not fleet.reachable, "an end that was not expected")
    assert "the worker cannot be reached" in caplog.text
    watch.cancel()


async def test_what_none_could_reject_in_time_does_not_keep_a_new_one_from_serving(
    fleet: Fleet, tmp_path: Path, seats: Seats
) -> None:
    async with both(tmp_path):
        await fleet.apply(FIRST)
    with pytest.raises(ChannelError):
        await fleet.apply(SECOND)
    fresh = Worker(tmp_path / "0")
    fresh.refused = "b"
    seats.pids = {0: 200}
    watch = asyncio.create_task(fleet.keep_synced())
    async with fresh.run():
        await eventually(lambda: fresh.names == ["a"], "the last good one")
    watch.cancel()


async def test_one_that_drains_is_left_alone(fleet: Fleet, tmp_path: Path) -> None:
    async with both(tmp_path) as (first, second):
        watch = asyncio.create_task(fleet.keep_synced())
        await eventually(lambda: len(fleet.responding) == 2, "both")
        await fleet.apply(FIRST)
        first.draining = True
        await eventually(
            lambda: [each.health for each in fleet.responding if each.health and each.health.draining] != []
        )
        assert not fleet.draining
        await fleet.apply(SECOND)
        assert (first.names, second.names) == (["a"], ["a", "b"])
        watch.cancel()


async def test_one_that_has_just_begun_to_drain_rejects_nothing_and_is_not_killed(
    fleet: Fleet, tmp_path: Path, seats: Seats
) -> None:
    async with both(tmp_path) as (first, second):
        await fleet.apply(FIRST)
        second.draining, second.refused = True, "b"
        await fleet.apply(SECOND)
        assert (first.names, second.names, seats.killed) == (["a", "b"], ["a"], [])
    async with both(tmp_path) as (first, second):
        second.draining, second.fails = True, True
        await fleet.apply(FIRST)
        assert (first.names, seats.killed) == (["a"], [])


async def test_missing_keys_are_asked_for_once(fleet: Fleet, tmp_path: Path) -> None:
    async with both(tmp_path) as (first, second):
        first.wanted, second.wanted = ("http://b/keys",), ("http://a/keys", "http://b/keys")
        watch = asyncio.create_task(fleet.keep_synced())
        await eventually(lambda: len(fleet.responding) == 2, "the first pings")
        assert fleet.take_wanted() == ["http://a/keys", "http://b/keys"]
        watch.cancel()


async def test_answers_of_all_are_joined(fleet: Fleet, tmp_path: Path) -> None:
    async with both(tmp_path) as (first, second):
        watch = asyncio.create_task(fleet.keep_synced())
        await eventually(lambda: len(fleet.responding) == 2, "both")
        assert await fleet.take_used() == {"d": 1.0}
        assert await fleet.state() == await fleet.breakers() == {}
        assert await fleet.explain("a") is None
        assert await fleet.reset_breaker("a", "ann")
        assert not await fleet.reset_breaker("b", "ann")
        assert await fleet.find("1") == {"request_id": "1", "worker": 1}
        assert await fleet.find("2") is None
        first.lines = [{"ts": 1.0}, {"ts": 3.0}]
        second.lines = [{"ts": 2.0}]
        found = await fleet.refusals(0, 10)
        assert [(line["ts"], line["worker"]) for line in found["items"]] == [(1.0, 0), (2.0, 1), (3.0, 0)]
        second.lines = [{"ts": 4.0}, {"ts": 5.0}]
        assert [line["ts"] for line in (await fleet.refusals(found["next"], 10))["items"]] == [5.0]
        first.lines = [{"ts": 6.0}]  # another process, which counts from 0
        assert [line["ts"] for line in (await fleet.refusals(4, 10))["items"]] == [6.0]
        watch.cancel()


async def test_without_a_worker_every_question_fails(fleet: Fleet) -> None:
    for question in (fleet.state(), fleet.breakers(), fleet.take_used(), fleet.explain("a"), fleet.find("r")):
        with pytest.raises(ChannelError):
            await question
    assert not fleet.reachable
    assert not fleet.draining


async def test_each_operation_reaches_the_worker(tmp_path: Path) -> None:
    channel = ChannelClient(str(tmp_path / "0"), operations(DataPlane), timeout=1)
    one = WorkerClient(channel)
    async with Worker(tmp_path / "0").run():
        assert await one.ping() == Health(False, ())
        assert await one.prepare(FIRST) == Prepared(0, changed=True)
        assert await one.commit(3) == InForce(3, (("127.0.0.1", 80),))
        await one.abandon()
        assert await one.sample() == os.getpid()
        assert (await one.usage())["open_fds"] > 0
        assert (await one.report())["generation"] == 0
        assert await one.refusals(3, 4) == {"next": 0, "items": []}
    await one.aclose()
