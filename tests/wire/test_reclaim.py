"""What a connection held is freed with it, and does not wait for the garbage collector.

The collector looks at old objects after millions of allocations. Until then a client could make the worker grow with
each connection that it opens and ends.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator

import pytest
from harness.answers import answer, chunk, head, ok
from harness.client import Client, request
from harness.patience import eventually
from harness.rig import GatewayFor
from harness.upstream import Link, Upstream
from harness.websocket import SWITCHED, frame, masked, upgrade

from gateway.core.exchange import Exchange
from gateway.observe import recorder
from gateway.wire.h1.client import H1Client
from gateway.wire.h1.server import H1Server
from gateway.wire.passage import Way
from gateway.wire.tunnel import Tunnel

pytestmark = pytest.mark.http1

ROUNDS = 5
Dialogue = Callable[[Client, Callable[[], Awaitable[Link]]], Awaitable[None]]
GET = request("/", "TE: trailers")
POST = request("/", "TE: trailers", "Content-Length: 100000", method="POST")


async def asked(client: Client, link: Callable[[], Awaitable[Link]]) -> Link:
    """A GET has reached the upstream."""
    await client.send(GET)
    upstream = await link()
    await upstream.head()
    return upstream


async def response(client: Client, link: Callable[[], Awaitable[Link]]) -> None:
    upstream = await asked(client, link)
    await upstream.send(answer(b"ok", "Connection: close"))
    await client.response()


async def client_leaves_early(client: Client, link: Callable[[], Awaitable[Link]]) -> None:
    upstream = await asked(client, link)
    client.close()
    await upstream.gone()


async def client_leaves_a_stream(client: Client, link: Callable[[], Awaitable[Link]]) -> None:
    upstream = await asked(client, link)
    await upstream.send(head("Transfer-Encoding: chunked"), chunk(b"begun"))
    await client.until(b"begun")
    client.close()
    await upstream.gone()


async def client_leaves_an_upload(client: Client, link: Callable[[], Awaitable[Link]]) -> None:
    await client.send(POST, b"x" * 1000)
    upstream = await link()
    await upstream.head()
    client.close()
    await upstream.gone()


async def upload_is_complete(client: Client, link: Callable[[], Awaitable[Link]]) -> None:
    await client.send(POST)
    upstream = await link()
    begun = await upstream.head()
    await client.send(b"x" * 100_000)
    await upstream.body(begun)
    await upstream.send(answer(b"ok", "Connection: close"))
    await client.response()


async def upstream_leaves_early(client: Client, link: Callable[[], Awaitable[Link]]) -> None:
    upstream = await asked(client, link)
    upstream.close()
    await client.response()


async def upstream_leaves_a_body(client: Client, link: Callable[[], Awaitable[Link]]) -> None:
    upstream = await asked(client, link)
    await upstream.send(head("Content-Length: 1000"), b"begun")
    upstream.close()
    await client.rest()


async def body_until_close(client: Client, link: Callable[[], Awaitable[Link]]) -> None:
    upstream = await asked(client, link)
    await upstream.send(head(), b"body")
    upstream.close()
    await client.response()


async def bad_response(client: Client, link: Callable[[], Awaitable[Link]]) -> None:
    upstream = await asked(client, link)
    await upstream.send(b"garbage\r\n\r\n")
    await client.response()


async def bad_request(client: Client, link: Callable[[], Awaitable[Link]]) -> None:
    await client.send(b"garbage\r\n\r\n")
    await client.response()


async def a_tunnel(client: Client, link: Callable[[], Awaitable[Link]]) -> Link:
    await client.send(upgrade())
    upstream = await link()
    await upstream.head()
    await upstream.send(SWITCHED, frame(b"hello"))
    await client.response()
    await client.send(masked(b"hello"))
    await upstream.expect(masked(b"hello"))
    return upstream


async def upstream_leaves_a_tunnel(client: Client, link: Callable[[], Awaitable[Link]]) -> None:
    (await a_tunnel(client, link)).close()
    await client.rest()


async def client_leaves_a_tunnel(client: Client, link: Callable[[], Awaitable[Link]]) -> None:
    upstream = await a_tunnel(client, link)
    client.close()
    await upstream.gone()
    upstream.close()


async def a_tunnel_is_reset(client: Client, link: Callable[[], Awaitable[Link]]) -> None:
    upstream = await a_tunnel(client, link)
    client.reset()
    await upstream.gone()


async def a_tunnel_is_reset_by_the_upstream(client: Client, link: Callable[[], Awaitable[Link]]) -> None:
    (await a_tunnel(client, link)).reset()
    await client.rest()


async def a_tunnel_falls_silent(client: Client, link: Callable[[], Awaitable[Link]]) -> None:
    upstream = await a_tunnel(client, link)
    await client.rest()
    await upstream.gone()


async def nothing_sent(client: Client, link: Callable[[], Awaitable[Link]]) -> None:
    del client, link


DIALOGUES: list[Dialogue] = [
    response,
    client_leaves_early,
    client_leaves_a_stream,
    client_leaves_an_upload,
    upload_is_complete,
    upstream_leaves_early,
    upstream_leaves_a_body,
    body_until_close,
    bad_response,
    bad_request,
    upstream_leaves_a_tunnel,
    client_leaves_a_tunnel,
    a_tunnel_is_reset,
    a_tunnel_is_reset_by_the_upstream,
    a_tunnel_falls_silent,
    nothing_sent,
]


@pytest.fixture
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.freeze()  # what was there before is not looked at again, because that takes most of the time
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


def alive() -> dict[str, int]:
    kinds = (H1Server, H1Client, Exchange, Tunnel, Way)
    found = [type(one).__name__ for one in gc.get_objects() if isinstance(one, kinds)]
    return {kind.__name__: found.count(kind.__name__) for kind in kinds}


@pytest.mark.usefixtures("_no_collector")
@pytest.mark.parametrize("timed", [False, True], ids=["plain", "server-timing"])
@pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda one: one.__name__)
async def test_an_ended_connection_is_freed_at_once(
    gateway_for: GatewayFor, upstream: Upstream, dialogue: Dialogue, timed: bool
) -> None:
    rig = await gateway_for(upstream, server_timing=timed, websocket=True, tunnel_idle=0.3)
    before = alive()
    for _ in range(ROUNDS):
        client = await rig.connect()
        await asyncio.wait_for(dialogue(client, upstream.link), 5)
        client.close()
    await rig.settled()
    await eventually(lambda: rig.gateway.connections == 0, "no client connection")
    await eventually(lambda: alive() == before, "nothing is left of the connections")


async def test_a_large_head_is_not_kept_for_the_log(
    gateway_for: GatewayFor, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exchanges wait for their log line, up to 256 of them: not with all that their clients sent."""
    monkeypatch.setattr(recorder, "_FLUSH_SECONDS", 60.0)
    upstream.behaviour = ok()
    rig = await gateway_for(upstream)
    large = [f"X-Large-{number}: {'y' * 250}" for number in range(100)]
    client = await rig.connect()
    for lines in (large, ["X-Small: 1"], large):
        assert (await client.ask("/", *lines)).status == 200
    await rig.settled()
    kept = [ex.request for ex in rig.gateway.recorder._pending]
    assert [bool(one.fields) for one in kept] == [False, True, False]
    assert [bool(one.rewritten) for one in kept] == [False, True, False]
    assert len(upstream.requests[2].lines) > 100, "the second large head had all its fields"
