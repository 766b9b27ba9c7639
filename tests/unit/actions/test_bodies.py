"""Long bodies over real sockets: taken piece by piece, and given up when they break off or are not taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager

import pytest
from harness.answers import answer, head
from harness.patience import eventually
from harness.upstream import Link, Upstream

from gateway.actions.bodies import Bodies
from gateway.actions.call import WINDOW
from gateway.app import Gateway
from gateway.config import load
from gateway.ipc.calls import Asked, Called, Piece

FILE = """
listen: 127.0.0.1:0
access_log: {{path: /dev/null}}
connections:
  there:
    base_url: {url}
    max_concurrent: 1
    max_response_bytes: 40000000
    retry: {{max_retries: 1, base_delay_ms: 1}}
actions:
  get: {{connection: there, path: /}}
"""
ASKED = Asked("default", "get", pieces=True)
LONG = bytes(range(256)) * (8 * WINDOW // 256)


class Served:
    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.bodies = gateway.actions.bodies

    def begin(self) -> asyncio.Task[Called]:
        return asyncio.create_task(self.gateway.actions.call(self.gateway.server, ASKED))

    async def settled(self) -> None:
        """No permit is in use, and no body is kept."""
        await eventually(lambda: not self.bodies._open and not self._in_flight(), "all have ended")
        assert not self.gateway.actions.running

    def _in_flight(self) -> object:
        explained = self.gateway.explain("connection/there")
        return explained is None or explained["limiter"]["in_flight"]

    async def rest(self, called: Called) -> tuple[bytes, Piece]:
        body = called["body"]
        while True:
            piece = await self.bodies.piece(called["rest"])
            body += piece["data"]
            if piece["done"]:
                return body, piece


@asynccontextmanager
async def serving(upstream: Upstream) -> AsyncIterator[Served]:
    async with Gateway(load.parse(FILE.format(url=upstream.url), "yaml", "calls", {})) as gateway:
        yield Served(gateway)


async def asked(upstream: Upstream) -> Link:
    link = await upstream.link()
    await link.request()
    return link


@asynccontextmanager
async def sent(link: Link, data: bytes) -> AsyncIterator[asyncio.Task[None]]:
    """The task that sends meanwhile; it ends with the block."""
    sending = asyncio.create_task(link.send(data))
    try:
        yield sending
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def test_a_short_body_is_whole(upstream: Upstream) -> None:
    async with serving(upstream) as served:
        for body in (b"", b"hello", b"x" * (WINDOW - 1)):
            task = served.begin()
            await (await asked(upstream)).send(answer(body, "Connection: close"))
            called = await task
            assert (called["status"], called["body"], "rest" in called) == (200, body, False)
        await served.settled()


@pytest.mark.covers("ACT-46")
async def test_the_upstream_waits_until_a_long_body_is_taken(upstream: Upstream) -> None:
    async with serving(upstream) as served:
        task = served.begin()
        link = await asked(upstream)
        size = 32 * 1024 * 1024
        async with sent(link, head(f"Content-Length: {size}", "X-A: b") + bytes(size)) as sending:
            called = await task
            assert (called["status"], ("X-A", "b") in called["headers"]) == (200, True)
            assert WINDOW <= len(called["body"]) <= 4 * WINDOW
            opening = served.bodies._open[called["rest"]].opening
            stream, exchange = opening.stream, opening.exchange
            assert stream is not None
            assert exchange is not None
            await eventually(lambda: stream.full, "the upstream is held")
            assert len(stream.received) <= 4 * WINDOW
            assert not sending.done(), "most of it is still there"
            body, last = await served.rest(called)
            await sending
        assert (body == bytes(size), last) == (True, {"data": b"", "done": True, "failure": None})
        with pytest.raises(OSError, match="not there any more"):
            await served.bodies.piece(called["rest"])
        await served.settled()
        assert exchange.blocked > 0.0, "the time in which it was not taken is not that of the upstream"


async def test_a_body_of_chunks_that_breaks_off_says_so(upstream: Upstream) -> None:
    async with serving(upstream) as served:
        task = served.begin()
        link = await asked(upstream)
        await link.send(head("Transfer-Encoding: chunked") + b"%x\r\n" % len(LONG) + LONG + b"\r\n")
        called = await task
        link.reset()
        body, last = await served.rest(called)
        assert LONG.startswith(body)
        assert last["failure"] is not None
        assert last["failure"]["code"] == "upstream_reset"
        await served.settled()


async def test_a_body_that_is_too_large_is_cut(upstream: Upstream) -> None:
    async with serving(upstream) as served:
        task = served.begin()
        link = await asked(upstream)
        piece = b"%x\r\n" % len(LONG) + LONG + b"\r\n"
        async with sent(link, head("Transfer-Encoding: chunked") + piece * 25):
            body, last = await served.rest(await task)
        assert len(body) <= 40_000_000
        assert last["failure"] is not None
        assert last["failure"]["code"] == "answer_too_large"
        await served.settled()


async def test_the_first_piece_decides_that_there_is_no_other_attempt(upstream: Upstream) -> None:
    async with serving(upstream) as served:
        task = served.begin()
        await (await asked(upstream)).send(answer(b"short", "Connection: close", status=503))
        await (await asked(upstream)).send(answer(LONG, status=503))
        called = await task
        assert (called["status"], called["attempts"]) == (503, 2)
        assert (await served.rest(called))[0] == LONG
        task = served.begin()
        link = upstream.links[-1]
        await link.request()
        await link.send(answer(LONG, status=503))
        assert (await served.rest(await task))[0] == LONG
        assert len(upstream.requests) == 3
        await served.settled()


async def _leave(served: Served, called: Called) -> None:
    served.bodies.leave(called["rest"])
    served.bodies.leave(called["rest"])


async def _cancel(served: Served, called: Called) -> None:
    waits = asyncio.create_task(_all(served, called))
    await asyncio.sleep(0)
    waits.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waits


async def _all(served: Served, called: Called) -> None:
    while True:
        await served.bodies.piece(called["rest"])


async def _close(served: Served, called: Called) -> None:
    del called
    served.bodies.close()


async def _forget(served: Served, called: Called) -> None:
    await served.bodies.piece(called["rest"])


@pytest.mark.parametrize("end", [_leave, _cancel, _forget, _close])
async def test_a_body_that_is_not_wanted_ends_its_call(
    upstream: Upstream, end: Callable[[Served, Called], Coroutine[None, None, None]]
) -> None:
    async with serving(upstream) as served:
        if end is _forget:
            served.bodies._patience = 0.05
        task = served.begin()
        link = await asked(upstream)
        await link.send(head(f"Content-Length: {len(LONG) * 2}") + LONG[: 2 * WINDOW])
        await end(served, await task)
        await served.settled()
        assert await link.gone()


@pytest.mark.parametrize("end", [_leave, _close])
async def test_a_body_that_is_left_was_blocked_until_then(
    upstream: Upstream, end: Callable[[Served, Called], Coroutine[None, None, None]]
) -> None:
    async with serving(upstream) as served:
        task = served.begin()
        link = await asked(upstream)
        async with sent(link, head(f"Content-Length: {len(LONG) * 8}") + LONG * 8):
            called = await task
            opening = served.bodies._open[called["rest"]].opening
            stream, exchange = opening.stream, opening.exchange
            assert stream is not None
            assert exchange is not None
            await served.bodies.piece(called["rest"])
            await eventually(lambda: stream.full, "the upstream is held")
            blocked = stream.blocked
            await end(served, called)
            await served.settled()
        assert exchange.blocked > blocked


@pytest.mark.parametrize("end", [_leave, _close])
async def test_who_waits_for_a_piece_of_a_body_that_is_left_gets_an_error(
    upstream: Upstream, end: Callable[[Served, Called], Coroutine[None, None, None]]
) -> None:
    async with serving(upstream) as served:
        task = served.begin()
        link = await asked(upstream)
        await link.send(head(f"Content-Length: {len(LONG) * 2}") + LONG[: 2 * WINDOW])
        called = await task
        waits = asyncio.create_task(_all(served, called))
        stream = served.bodies._open[called["rest"]].opening.stream
        assert stream is not None
        await eventually(lambda: not stream.received, "all that has come is taken")
        await end(served, called)
        with pytest.raises(OSError, match="not there any more"):
            await waits
        await served.settled()
        assert await link.gone()


async def test_a_caller_who_leaves_before_the_first_piece_ends_the_call(upstream: Upstream) -> None:
    async with serving(upstream) as served:
        task = served.begin()
        link = await asked(upstream)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await link.gone()
        await served.settled()


@pytest.mark.covers("ACT-46")
@pytest.mark.parametrize("taken", [True, False])
async def test_a_drain_waits_until_a_body_is_taken(upstream: Upstream, *, taken: bool) -> None:
    """Also when its exchange has ended, because all of it has come."""
    async with serving(upstream) as served:
        served.bodies._grace = 0.0
        task = served.begin()
        await (await asked(upstream)).send(answer(LONG[: WINDOW + 1]))
        called = await task
        await eventually(lambda: not served.gateway.exchanges, "the exchange has ended")
        drained = asyncio.create_task(served.gateway.drain(30.0 if taken else 0.1))
        if taken:
            await eventually(lambda: served.gateway.server.draining, "the drain has begun")
            assert not drained.done()
            assert (await served.rest(called))[0] == LONG[: WINDOW + 1]
        assert await drained is taken
        assert not served.bodies._open


@pytest.mark.covers("ACT-46")
@pytest.mark.parametrize("waits", [True, False])
async def test_a_body_that_a_drain_cuts_says_so(upstream: Upstream, *, waits: bool) -> None:
    """Whether its caller waits for the next piece at the cut, or asks for it afterwards."""
    async with serving(upstream) as served:
        task = served.begin()
        link = await asked(upstream)
        await link.send(head(f"Content-Length: {len(LONG) * 2}") + LONG[: 2 * WINDOW])
        called = await task
        stream = served.bodies._open[called["rest"]].opening.stream
        assert stream is not None
        if waits:
            taking = asyncio.create_task(served.rest(called))
            await eventually(lambda: not stream.received, "all that has come is taken")
        drained = asyncio.create_task(served.gateway.drain(0.05))
        await eventually(lambda: not served.gateway.exchanges, "the exchange is cut")
        body, last = await (taking if waits else served.rest(called))
        assert LONG.startswith(body)
        assert (last["done"], last["failure"] is not None and last["failure"]["code"]) == (True, "draining")
        assert not await drained
        assert not served.bodies._open


async def test_what_was_never_there_is_an_error() -> None:
    with pytest.raises(OSError, match="not there any more"):
        await Bodies().piece("nothing")
    Bodies().leave("nothing")
