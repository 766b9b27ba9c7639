"""Bodies through TLS to the upstream: as they come, in bounded memory, and to the last byte."""

from __future__ import annotations

import asyncio

import pytest
from harness.answers import chunk, echo
from harness.client import request
from harness.rig import GatewayFor
from harness.upstream import Upstream

UPLOADS = {
    "late": [b"x" * 100],
    "two pieces": [b"x" * 100, b"y" * 100],
    "five pieces": [b"%d" % number * 100 for number in range(5)],
    "a large one": [bytes([number]) * 50_000 for number in range(40)],
}


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("pieces", UPLOADS.values(), ids=UPLOADS.keys())
async def test_a_body_that_comes_after_its_head_is_relayed(
    gateway_for: GatewayFor, upstream: Upstream, pieces: list[bytes], framing: str
) -> None:
    upstream.behaviour = echo()
    rig = await gateway_for(upstream)
    client = await rig.connect()
    for _ in range(2):  # on a new connection, then on a pooled one
        chunked = framing == "chunked"
        line = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {sum(map(len, pieces))}"
        await client.send(request("/", line, method="POST"))
        for piece in pieces:
            await asyncio.sleep(0.01)  # paces the segments; nothing waits for it
            await client.send(chunk(piece) if chunked else piece)
        if chunked:
            await client.send(b"0\r\n\r\n")
        response = await client.response()
        assert (response.status, response.body) == (200, b"".join(pieces))
    assert upstream.accepted == 1
