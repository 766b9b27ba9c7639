"""Random exchanges in random segments, both ways at once: what arrives is what was sent, or it is seen to be broken."""

from __future__ import annotations

import asyncio
import os
import random
import re
import socket
from contextlib import suppress

import h11
import pytest
from harness.answers import chunk, head
from harness.client import request
from harness.message import Message, Truncated, read_response
from harness.rig import GatewayFor
from harness.stream import Stream
from harness.upstream import Link, Upstream

pytestmark = [pytest.mark.protocols, pytest.mark.timeout(600)]

EXCHANGES = 12
SEEDS = 4
MUTANTS = int(os.environ.get("MUTANTS", "120")) // SEEDS
"""Of each seed."""
SIZES = [0, 1, 2, 7, 100, 4095, 4096, 4097, 20_000, 70_000]


def body_of(dice: random.Random) -> bytes:
    return dice.randbytes(dice.choice(SIZES))


def chunks_of(body: bytes, dice: random.Random) -> list[bytes]:
    """The body as chunks of sizes that change or stay the same, with extensions now and then."""
    parts: list[bytes] = []
    size, at = 1, 0
    while at < len(body):
        if dice.random() < 0.1 or len(parts) > 200:
            size = dice.choice([1, 2, 15, 16, 255, 4096, 30_000])
        piece = body[at : at + size]
        extension = dice.choice([b"", b"", b"", b"", b";a", b';a="b c"'])
        parts.append(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece))
        at += size
    return parts


async def dribble(stream: Stream, data: bytes, dice: random.Random) -> None:
    """Send in segments of random sizes, with turns of the event loop, and sometimes a moment, between them."""
    at = 0
    while at < len(data):
        step = dice.choice([1, 3, 50, 1000, 5000, 40_000, len(data)])
        if at > 300 and step < 50:  # a body byte by byte takes too long
            step = 1000
        await stream.send(data[at : at + step])
        at += step
        if dice.random() < 0.3:
            await asyncio.sleep(dice.choice([0, 0, 0.001]))


def framed(body: bytes, dice: random.Random, framing: str) -> tuple[list[str], bytes]:
    """(field lines, the body on the wire)."""
    if framing == "length":
        return [f"Content-Length: {len(body)}"], body
    if framing == "chunked":
        trailers = dice.choice([b"", b"X-Sum: 1\r\n"])
        return ["Transfer-Encoding: chunked"], b"".join(chunks_of(body, dice)) + b"0\r\n" + trailers + b"\r\n"
    return [], body


def response_of(body: bytes, dice: random.Random, framing: str) -> bytes:
    lines, wire = framed(body, dice, framing)
    filler = [f"X-{number}: {'v' * dice.choice([1, 50, 3000])}" for number in range(dice.randrange(4))]
    interim = b"".join(head("Link: </x>", status="103 Early Hints") for _ in range(dice.choice([0, 0, 1, 3])))
    return interim + head(*filler, *lines) + wire


@pytest.mark.parametrize("seed", range(6))
async def test_random_exchanges(gateway_for: GatewayFor, upstream: Upstream, seed: int) -> None:
    """The upstream writes its response while it reads the request; connections are reused whenever they may be."""
    planned: dict[bytes, tuple[bytes, bytes]] = {}

    async def serve(link: Link) -> None:
        while True:
            received = await link.head()
            sent, raw = planned[received.target]
            early = pace.random() < 0.3
            responding = asyncio.ensure_future(dribble(link, raw, pace)) if early else None
            assert (await link.body(received)).body == sent
            await (responding or dribble(link, raw, pace))
            if received.target.endswith(b"close"):
                link.close()
                return

    dice, pace = random.Random(seed), random.Random(seed)
    upstream.behaviour = serve
    rig = await gateway_for(upstream)
    client = await rig.connect(receive_buffer=dice.choice([0, 4096]))
    for number in range(EXCHANGES):
        sent, body = body_of(dice), body_of(dice)
        framing = dice.choice(["length", "chunked", "close"])
        target = f"/{number}/{framing}"
        planned[target.encode()] = sent, response_of(body, dice, framing)
        lines, wire = framed(sent, dice, dice.choice(["length", "chunked"]))
        sending = asyncio.ensure_future(
            dribble(client, request(target, "TE: trailers", *lines, method="POST") + wire, pace)
        )
        response = await client.response("POST")
        while response.status == 103:
            response = await client.response("POST")
        assert (response.status, response.body) == (200, body), f"exchange {number} of seed {seed}"
        await sending
    assert {task.exception() for task in upstream.tasks if task.done()} <= {None}


async def reading_of(raw: bytes) -> Message | None:
    """What a strict reader makes of these bytes and an end behind them; None: nothing complete."""
    near, far = socket.socketpair()
    writer, reader = Stream(near), Stream(far)
    try:
        sending = asyncio.ensure_future(writer.send(raw))
        sending.add_done_callback(lambda _: writer.half_close())
        with suppress(Truncated, AssertionError, ValueError):
            while True:
                message = await read_response(reader)
                if message.status >= 200:
                    return message
        return None
    finally:
        await asyncio.wait([sending])
        writer.close()
        reader.close()


def mutated(raw: bytes, dice: random.Random) -> bytes:
    """A byte changed, left out, doubled or put in, or the end cut off; mostly where the framing is."""
    at = dice.randrange(min(len(raw), dice.choice([20, 200, len(raw)])))
    way = dice.randrange(5)
    if way == 0:
        return raw[:at] + bytes([dice.randrange(256)]) + raw[at + 1 :]
    if way == 1:
        return raw[:at] + raw[at + 1 :]
    if way == 2:
        return raw[:at] + raw[at : at + 1] + raw[at:]
    if way == 3:
        return raw[:at] + dice.choice([b"\r\n", b"\n", b"\r", b" ", b"\0", b"0", b":", b"\r\n\r\n"]) + raw[at:]
    return raw[:at]


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_broken_responses(gateway_for: GatewayFor, upstream: Upstream, seed: int) -> None:
    """Whatever the bytes: the client gets a response that a strict reader reads alike, a 502, or a cut. In time."""
    dice, pace = random.Random(1000 + seed), random.Random(seed)
    raw = b""

    async def serve(link: Link) -> None:
        await link.request()
        await dribble(link, raw, pace)

    upstream.behaviour = serve
    rig = await gateway_for(upstream)
    told: dict[str, int] = {"whole": 0, "502": 0, "cut": 0}
    for number in range(MUTANTS):
        body = dice.randbytes(dice.choice([0, 1, 100, 5000]))
        raw = mutated(response_of(body, dice, dice.choice(["length", "chunked", "close"])), dice)
        client = await rig.connect()
        await client.send(request())
        where = f"mutant {number} of seed {seed}: {raw[:300]!r}"
        try:
            response = await client.final()
        except Truncated:
            told["cut"] += 1
        else:
            ours = response.get("x-gateway-reason") is not None
            told["502" if ours else "whole"] += 1
            strict = None if ours else await reading_of(raw)
            if strict is not None:
                assert (response.status, response.body) == (strict.status, strict.body), where
            assert not ours or response.status == 502, where
        client.close()
    assert told["whole"] > 0, told
    assert told["502"] > 0, told


def bodies_by_h11(raw: bytes) -> list[bytes]:
    """The bodies of the whole requests that h11 reads in these bytes.

    RFC 9112 has white space before the extension of a chunk (7.1.1) and an empty line before a request (2.2) read over,
    as here; h11 refuses both.
    """
    found, rest = list[bytes](), re.sub(rb"(\r\n[0-9a-f]+)[ \t]+;", rb"\1;", raw)
    with suppress(h11.ProtocolError):
        while rest := rest.lstrip(b"\r\n"):
            server, body = h11.Connection(h11.SERVER), b""
            server.receive_data(rest)
            while not isinstance(event := server.next_event(), h11.EndOfMessage):
                if not isinstance(event, h11.Request | h11.Data):
                    return found
                body += event.data if isinstance(event, h11.Data) else b""
            found.append(body)
            rest = bytes(server.trailing_data[0])
    return found


@pytest.mark.http1
@pytest.mark.parametrize("seed", range(SEEDS))
async def test_broken_requests(gateway_for: GatewayFor, upstream: Upstream, seed: int) -> None:
    """Whatever the bytes: the upstream gets the requests that a second parser reads, in order, or fewer."""
    dice = random.Random(2000 + seed)
    bodies: list[bytes] = []

    async def serve(link: Link) -> None:
        with suppress(Truncated):
            while True:
                bodies.append((await link.request()).body)
                await link.send(head("Content-Length: 2"), b"ok")

    upstream.behaviour = serve
    rig = await gateway_for(upstream)
    reached = 0
    for number in range(MUTANTS):
        raw = b""
        for _ in range(2):
            lines, wire = framed(dice.randbytes(dice.choice([1, 100, 5000])), dice, dice.choice(["length", "chunked"]))
            raw += request("/", "TE: trailers", *lines, method="POST") + wire
        raw = mutated(raw, dice) + request("/", "Connection: close")
        bodies.clear()
        client = await rig.connect()
        with suppress(Truncated, ConnectionError, TimeoutError):  # it waits where a body is read that never ends
            await client.send(raw)
            async with asyncio.timeout(0.1):
                while True:
                    await client.response("POST")
        client.close()
        await rig.settled()
        where = f"mutant {number} of seed {seed}: {raw[:300]!r}"
        read = bodies_by_h11(raw)
        assert bodies == read[: len(bodies)], where
        reached += len(bodies)
    assert reached > MUTANTS / 2


def test_the_chunks_of_this_test_are_chunks() -> None:
    dice = random.Random(0)
    assert chunks_of(b"", dice) == []
    assert sum(len(part) for part in chunks_of(b"x" * 1000, dice)) > len(chunk(b"x" * 1000))
