"""Calls over real channels: each worker has its share, and one that cannot be reached is passed over."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from harness.patience import eventually

from gateway.config.actions import Retry
from gateway.ipc.calls import ActionSummary, Asked, Called, Calls, ConnectionSummary, Failure, Overrides, Piece
from gateway.ipc.channel import (
    ChannelClient,
    ChannelError,
    RefusedError,
    Request,
    Response,
    UnsentError,
    operations,
    packed,
    read,
)
from gateway.ipc.client import Worker, WorkerClient
from gateway.ipc.dispatch import Dispatch
from gateway.ipc.fleet import Fleet
from gateway.ipc.messages import DataPlane, Health
from gateway.ipc.server import ChannelServer

ASKED = Asked("default", "get-user", {"login": "x"}, request_id="id")


def called(by: int) -> Called:
    return {
        "action": "trn",
        "request_id": str(by),
        "failure": None,
        "planned": None,
        "status": 200,
        "headers": [("A", "b")],
        "body": b"\x00\xff",
        "attempts": 1,
        "seconds": 0.5,
    }


class Plane(Calls):
    """A worker that makes no real calls."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.asked: list[Asked] = []
        self.held: asyncio.Event | None = None
        self.cancelled = 0
        self.failure: Failure | None = None
        self.attempts = 1
        self.body = b"\x00\xff"
        self.error: OSError | UnsentError | None = None
        self.pings = 0
        self.pieces: list[Piece] = []
        self.stalls: asyncio.Event | None = None
        """Set when a piece is waited for that never comes; None: none stalls."""
        self.left: list[str] = []

    async def ping(self) -> Health:
        self.pings += 1
        return Health(False, ())

    async def connections(self, tenant: str) -> list[ConnectionSummary]:
        return []

    async def actions(self, tenant: str) -> list[ActionSummary]:
        return []

    async def call(self, asked: Asked) -> Called:
        self.asked.append(asked)
        if self.error is not None:
            raise self.error
        if self.held is not None:
            try:
                await self.held.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        found: Called = {**called(self.number), "failure": self.failure, "attempts": self.attempts, "body": self.body}
        if asked.pieces:
            found["rest"] = f"rest-{self.number}-{len(self.asked)}"
        return found

    async def piece(self, rest: str) -> Piece:
        if self.stalls is not None:
            self.stalls.set()
            await asyncio.Event().wait()
        if not self.pieces:
            raise OSError("this body is not there any more")
        return self.pieces.pop(0)

    async def leave(self, rest: str) -> None:
        self.left.append(rest)

    def begun(self, result: object) -> Callable[[], None] | None:
        rest = result.get("rest") if isinstance(result, dict) else None
        return None if rest is None else lambda: self.left.append(rest)


class Workers:
    def __init__(self, folder: Path, timeout: float = 5.0) -> None:
        self._folder = folder
        self.now = 0.0
        self.planes = [Plane(number) for number in range(3)]
        self.servers: list[ChannelServer] = []
        table = operations(DataPlane)
        channels = [ChannelClient(str(folder / str(n)), table, timeout=timeout, clock=self.clock) for n in range(3)]
        clients = [WorkerClient(each) for each in channels]
        self.fleet = Fleet([Worker(n, n, client, Health(False, ())) for n, client in enumerate(clients)], dict)
        self.dispatch = Dispatch(self.fleet)

    def clock(self) -> float:
        return self.now

    async def start(self, stack: AsyncExitStack) -> None:
        for plane in self.planes:
            server = await self.serve(plane)
            self.servers.append(server)
            stack.push_async_callback(server.aclose)
        stack.push_async_callback(self.fleet.aclose)

    async def serve(self, plane: Plane) -> ChannelServer:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self._folder / str(plane.number)))
        listener.listen()
        server = ChannelServer(operations(DataPlane), plane, {"call", "piece"}, plane.begun)
        await server.start(listener)
        return server


@pytest.fixture
async def workers(tmp_path: Path) -> AsyncIterator[Workers]:
    async with AsyncExitStack() as stack:
        made = Workers(tmp_path)
        await made.start(stack)
        yield made


@pytest.mark.covers("ACT-37")
async def test_each_worker_has_its_share(workers: Workers) -> None:
    found = [await workers.dispatch.call(ASKED) for _ in range(6)]
    assert sorted(each["request_id"] for each in found) == ["0", "0", "1", "1", "2", "2"]
    assert workers.planes[0].asked == [ASKED] * 2
    assert found[0] | {"request_id": "0"} == called(0), "bytes travel whole"


async def test_a_worker_that_cannot_be_reached_is_passed_over(workers: Workers) -> None:
    await workers.servers[1].aclose()
    (workers._folder / "1").unlink()
    found = {(await workers.dispatch.call(ASKED))["request_id"] for _ in range(6)}
    assert found == {"0", "2"}
    for worker in workers.fleet.workers:
        worker.health = Health(True, ())
    with pytest.raises(ChannelError, match="no worker responds"):
        await workers.dispatch.call(ASKED)


async def test_the_connections_of_calls_are_kept(workers: Workers) -> None:
    for _ in range(4):
        await asyncio.gather(*(workers.dispatch.call(ASKED) for _ in range(6)))
    assert [len(plane.asked) for plane in workers.planes] == [8, 8, 8]
    assert [plane.pings for plane in workers.planes] == [2, 2, 2], "one for each new connection"
    workers.now = 10.0
    for _ in range(3):
        await workers.dispatch.call(ASKED)
    assert [plane.pings for plane in workers.planes] == [3, 3, 3], "and one after a while, in which it may hang"


async def test_a_worker_that_was_replaced_gets_the_next_call(workers: Workers) -> None:
    await asyncio.gather(*(workers.dispatch.call(ASKED) for _ in range(6)))
    await workers.servers[1].aclose()
    (workers._folder / "1").unlink()
    plane = workers.planes[1] = Plane(1)
    workers.servers[1] = await workers.serve(plane)
    try:
        found = [(await workers.dispatch.call(ASKED))["request_id"] for _ in range(6)]
    finally:
        await workers.servers[1].aclose()
    assert sorted(found) == ["0", "0", "1", "1", "2", "2"]


async def test_a_worker_that_serves_nothing_yet_is_passed_over(workers: Workers) -> None:
    """It has just taken the place of one that was killed, which its health does not say yet."""
    workers.planes[1].error = UnsentError("the data plane serves nothing yet; call again")
    found = {(await workers.dispatch.call(ASKED))["request_id"] for _ in range(6)}
    assert found == {"0", "2"}
    for plane in workers.planes:
        plane.error = UnsentError("the data plane serves nothing yet; call again")
    with pytest.raises(ChannelError, match="serves nothing yet"):
        await workers.dispatch.call(ASKED)


async def test_an_error_of_a_call_that_may_have_begun_stands(workers: Workers) -> None:
    for plane in workers.planes:
        plane.error = OSError("no file left")
    with pytest.raises(RefusedError, match="no file left"):
        await workers.dispatch.call(ASKED)
    assert sum(len(plane.asked) for plane in workers.planes) == 1


async def test_a_slow_call_keeps_nothing_else_waiting(workers: Workers) -> None:
    for plane in workers.planes:
        plane.held = asyncio.Event()
    slow = [asyncio.create_task(workers.dispatch.call(ASKED)) for _ in range(9)]
    await eventually(lambda: sum(len(plane.asked) for plane in workers.planes) == 9, "all calls run")
    for worker in workers.fleet.workers:
        assert (await worker.client.ping()).draining is False
    for plane in workers.planes:
        assert plane.held is not None
        plane.held.set()
    assert len(await asyncio.gather(*slow)) == 9


async def test_a_caller_who_leaves_ends_the_call(workers: Workers) -> None:
    for plane in workers.planes:
        plane.held = asyncio.Event()
    task = asyncio.create_task(workers.dispatch.call(ASKED))
    await eventually(lambda: sum(len(plane.asked) for plane in workers.planes) == 1, "the call runs")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(lambda: sum(plane.cancelled for plane in workers.planes) == 1, "the worker gives up")


async def test_a_worker_that_dies_in_a_call_is_not_asked_twice(workers: Workers) -> None:
    for plane in workers.planes:
        plane.held = asyncio.Event()
    task = asyncio.create_task(workers.dispatch.call(ASKED))
    await eventually(lambda: sum(len(plane.asked) for plane in workers.planes) == 1, "the call runs")
    for server in workers.servers:
        await server.aclose()
    with pytest.raises(ChannelError, match="closed the channel"):
        await task
    assert sum(len(plane.asked) for plane in workers.planes) == 1, "it may have had its effect"


@pytest.mark.parametrize("turns", range(1, 9))
async def test_a_response_that_is_made_is_sent_before_the_worker_ends(workers: Workers, turns: int) -> None:
    """With the last call a drain is over. ``turns``: of the event loop between both."""
    large = b"x" * (1 << 20)
    for plane in workers.planes:
        plane.held, plane.body = asyncio.Event(), large
    task = asyncio.create_task(workers.dispatch.call(ASKED))
    await eventually(lambda: sum(len(plane.asked) for plane in workers.planes) == 1, "the call runs")
    (number,) = (plane.number for plane in workers.planes if plane.asked)
    held = workers.planes[number].held
    assert held is not None
    held.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    await workers.servers[number].aclose()
    assert (await task)["body"] == large


async def test_lists_come_from_one_worker(workers: Workers) -> None:
    assert await workers.dispatch.connections("default") == []
    assert await workers.dispatch.actions("default") == []


def draining() -> Failure:
    return {"status": 503, "code": "draining", "title": "t", "message": "m"}


async def test_a_worker_that_has_begun_to_drain_is_passed_over(workers: Workers) -> None:
    workers.planes[1].failure, workers.planes[1].attempts = draining(), 0
    found = [await workers.dispatch.call(ASKED) for _ in range(6)]
    assert {each["request_id"] for each in found} == {"0", "2"}
    assert len(workers.planes[1].asked) == 2, "its health did not say so yet"
    for plane in workers.planes:
        plane.failure, plane.attempts = draining(), 0
    assert (await workers.dispatch.call(ASKED))["failure"] == draining()


@pytest.mark.parametrize(("code", "attempts"), [("draining", 1), ("breaker_open", 0)])
async def test_what_was_sent_or_refused_goes_to_no_other_worker(workers: Workers, code: str, attempts: int) -> None:
    for plane in workers.planes:
        plane.failure, plane.attempts = {**draining(), "code": code}, attempts
    failure = (await workers.dispatch.call(ASKED))["failure"]
    assert failure is not None
    assert failure["code"] == code
    assert sum(len(plane.asked) for plane in workers.planes) == 1


async def test_a_call_does_not_wait_for_a_place_that_no_process_serves(tmp_path: Path) -> None:
    made = Workers(tmp_path, timeout=0.05)
    with socket.socket(socket.AF_UNIX) as abandoned:
        async with AsyncExitStack() as stack:
            await made.start(stack)
            await made.servers[1].aclose()
            (tmp_path / "1").unlink()
            abandoned.bind(str(tmp_path / "1"))
            abandoned.listen()
            found = [await made.dispatch.call(ASKED) for _ in range(6)]
            assert {each["request_id"] for each in found} == {"0", "2"}


@pytest.mark.covers("ACT-46")
async def test_the_rest_of_a_body_comes_from_its_worker(workers: Workers) -> None:
    dispatch = workers.dispatch
    asked = replace(ASKED, pieces=True)
    one, two, three = [await dispatch.call(asked) for _ in range(3)]
    plane = workers.planes[int(one["request_id"])]
    plane.pieces = [
        {"data": b"\x00\xff", "done": False, "failure": None},
        {"data": b"", "done": True, "failure": draining()},
    ]
    assert (await dispatch.piece(one["rest"]))["data"] == b"\x00\xff"
    assert await dispatch.piece(one["rest"]) == {"data": b"", "done": True, "failure": draining()}
    with pytest.raises(ChannelError, match="not there any more"):
        await dispatch.piece(one["rest"])
    await dispatch.leave(two["rest"])
    await dispatch.leave(two["rest"])
    left = workers.planes[int(two["request_id"])].left
    await eventually(lambda: left == [two["rest"]], "its worker ends the call")
    with pytest.raises(RefusedError, match="not there any more"):
        await dispatch.piece(three["rest"])  # the worker has given it up


async def test_a_body_whose_piece_is_given_up_is_left_at_its_worker(workers: Workers) -> None:
    """Also when the worker has given the piece already: it would wait for the next look at the body, with a permit."""
    found = await workers.dispatch.call(replace(ASKED, pieces=True))
    plane = workers.planes[int(found["request_id"])]
    plane.stalls = asyncio.Event()
    piece = asyncio.ensure_future(workers.dispatch.piece(found["rest"]))
    await eventually(plane.stalls.is_set, "the worker has the question")
    piece.cancel()
    with pytest.raises(asyncio.CancelledError):
        await piece
    await workers.dispatch.leave(found["rest"])
    await eventually(lambda: plane.left == [found["rest"]], "the worker ends the call, once")


@pytest.mark.covers("ACT-46")
@pytest.mark.parametrize("reads", [True, False])
async def test_a_body_is_left_when_the_control_process_dies(workers: Workers, reads: bool) -> None:
    """Between two pieces, and while the first reply is on its way to it."""
    plane = workers.planes[1]
    reader, writer = await asyncio.open_unix_connection(workers.fleet.workers[1].client._channel._path)
    body = msgspec.Raw(msgspec.json.encode((replace(ASKED, pieces=True),)))
    writer.write(packed(Request(1, "call", body)))
    if reads:
        response = await read(reader, msgspec.json.Decoder(Response))
        assert response is not None
        assert b"rest-1-1" in bytes(response.body)
        assert plane.left == []
    else:
        await eventually(lambda: plane.asked, "the worker has the call")
    writer.transport.abort()
    await eventually(lambda: plane.left == ["rest-1-1"], "the worker ends the call")


async def test_a_caller_who_leaves_with_the_first_reply_leaves_the_body(workers: Workers) -> None:
    """In each turn in which that may happen: the reply is made, on its way, or has just come."""
    for turns in range(12):
        for plane in workers.planes:
            plane.asked.clear()
            plane.left.clear()
        task = asyncio.create_task(workers.dispatch.call(replace(ASKED, pieces=True)))
        await eventually(lambda: any(plane.asked for plane in workers.planes), "a worker has the call")
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        try:
            found = await task
        except asyncio.CancelledError:
            pass
        else:
            await workers.dispatch.leave(found["rest"])
        await eventually(lambda: sum(len(plane.left) for plane in workers.planes) == 1, f"left after {turns} turns")


async def test_what_a_call_asks_for_travels_whole(workers: Workers) -> None:
    overrides = Overrides("PUT", "/x", {"A": "b"}, {"c": "d"}, {"e": [None, 1.5]}, Retry(retries=1, statuses=(503,)))
    asked = Asked("default", "a", {"x": {"y": [1]}}, overrides=overrides, link="https://h/2")
    await workers.dispatch.call(asked)
    assert [asked] == [each for plane in workers.planes for each in plane.asked]
