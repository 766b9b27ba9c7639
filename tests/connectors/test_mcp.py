"""Connections to real servers of MCP under the protections: limit, deadline, and a breaker that opens and heals."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import partial

import pytest
from harness.calling import Calling
from harness.mcp_peers import ERAS, server
from harness.patience import eventually, when
from harness.ports import reserved_port

from gateway.config.records import NAMED

pytestmark = pytest.mark.timeout(180)

ACTIONS = """
actions:
  add: {connection: db, tool: add, parameters: [{name: a, type: integer}, {name: b, type: integer}]}
  hold: {connection: db, tool: hold}
  brief: {connection: db, tool: hold, timeout_ms: 300}
  release: {connection: other, tool: release}
  tally: {connection: other, tool: tally}
"""
WAYS = [(era, how) for era in ERAS for how in ("plain", "events")]


def calling(url: str, **keys: object) -> Calling:
    """``keys``: of the connection `db`. The connection `other` is the same server, and has a limit of its own."""
    more = "".join(f", {key}: {value}" for key, value in keys.items())
    one, other = (f'{{kind: mcp, retry: once, base_url: "{url}"{each}}}' for each in (more, ""))
    return Calling(f"connections: {{db: {one}, other: {other}}}\n{ACTIONS}")


def in_flight(make: Calling) -> int:
    limiter = make.gateway.upstreams[f"{NAMED}connection/db"].limiter
    return 0 if limiter is None else limiter.in_flight


@pytest.mark.covers("ACT-36")
@pytest.mark.parametrize(("era", "how"), WAYS)
async def test_five_calls_that_last_take_the_limit_and_the_rest_is_rejected(era: str, how: str) -> None:
    async with server(era, how) as url, calling(url, max_concurrent=5) as make:
        assert await make.code("add", a=1, b=2) == ""
        holding = [asyncio.ensure_future(make.code("hold")) for _ in range(5)]
        await eventually(lambda: in_flight(make) == 5, "five calls run")
        assert await asyncio.gather(*(make.code("add", a=1, b=2) for _ in range(5))) == ["concurrency_limit"] * 5
        assert await make.code("release") == ""
        assert await asyncio.gather(*holding) == [""] * 5
        assert await asyncio.gather(*(make.code("add", a=1, b=2) for _ in range(5))) == [""] * 5
        await eventually(lambda: in_flight(make) == 0, "no permit in use")


@pytest.mark.covers("ACT-36")
@pytest.mark.parametrize(("era", "how"), WAYS)
async def test_a_call_whose_time_is_over_gives_its_permit_back(era: str, how: str) -> None:
    async with server(era, how) as url, calling(url, max_concurrent=1) as make:
        assert await make.code("add", a=1, b=2) == ""
        assert await make.code("brief") == "total_timeout"
        assert await make.code("add", a=1, b=2) == ""
        caller = asyncio.ensure_future(make("hold"))
        await eventually(lambda: in_flight(make) == 1, "the call runs")
        caller.cancel()  # it has left
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert await make.code("add", a=1, b=2) == ""
        await eventually(lambda: in_flight(make) == 0, "no permit in use")
        assert await make.code("release") == ""


@pytest.mark.covers("ACT-36")
@pytest.mark.parametrize("era", ERAS)
async def test_a_call_that_ends_early_ends_at_the_server_too(era: str) -> None:
    """The server of the older era reads a notification, that of the newer one sees the end of the connection."""
    async with server(era, "events") as url, calling(url, max_concurrent=1) as make:
        assert await make.code("brief") == "total_timeout"
        await when(partial(_held, make, [0, 1]), 60, "the server has ended it")
        caller = asyncio.ensure_future(make("hold"))
        await when(partial(_held, make, [1, 1]), 60, "the tool runs")
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        await when(partial(_held, make, [0, 2]), 60, "the server has ended it")


async def _held(make: Calling, wanted: list[int]) -> bool:
    """Whether so many tools hold, and so many were cancelled."""
    return bool((await make.body("tally"))["structuredContent"]["result"] == wanted)


@pytest.mark.covers("ACT-36")
@pytest.mark.parametrize(("era", "how"), WAYS)
async def test_a_server_that_dies_opens_the_breaker_and_heals(era: str, how: str) -> None:
    port = reserved_port()
    breaker = "{enabled: true, failure_threshold: 3, recovery_timeout: 1}"
    async with AsyncExitStack() as stack, AsyncExitStack() as dies:
        url = await dies.enter_async_context(server(era, how, port))
        make = await stack.enter_async_context(calling(url, circuit_breaker=breaker))
        assert await make.code("add", a=1, b=2) == ""
        await dies.aclose()
        codes = [await make.code("add", a=1, b=2) for _ in range(4)]
        assert codes == ["dial_failed"] * 3 + ["breaker_open"]
        await stack.enter_async_context(server(era, how, port))
        await when(lambda: heals(make), 60, "it heals")
        assert (await make("add", a=1, b=2))["status"] == 200, "with a session of the server that came back"


async def heals(make: Calling) -> bool:
    return await make.code("add", a=1, b=2) == ""
