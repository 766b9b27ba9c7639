"""Frames with a small change, both ways: one request is never two, and what is cut never looks whole.

What a stream carried is read from the changed bytes a second time, by a reader that knows frames alone. MUTANTS says
how many are tried, here and in test_relay_fuzz (`make soak`: ten thousand); each number has its own seed.
"""

from __future__ import annotations

import asyncio
import os
import random
from contextlib import suppress
from dataclasses import dataclass, field

import hpack
import pytest
from harness.answers import answer
from harness.client import request
from harness.frames import POST, Fields, block, take_frames
from harness.http2 import Http2Client
from harness.http2_upstream import Session
from harness.message import Truncated
from harness.rig import GatewayFor, proxy_to
from harness.upstream import Link, Upstream

from gateway.config.records import Limits
from gateway.wire.h2.codes import DATA, HEADERS, PING
from gateway.wire.h2.frames import frame, settings, window_update

pytestmark = [pytest.mark.plain, pytest.mark.raw, pytest.mark.timeout(1200)]

MUTANTS = int(os.environ.get("MUTANTS", "150"))
MARK = b"the last"
FILLER = bytes(20_000)
"""Completes any frame, and then breaks the rules."""
MANY = Limits(max_connections_per_client=0)


@dataclass
class Stream:
    """What a peer that looks at nothing but frames makes of one."""

    blocks: list[bytes] = field(default_factory=list)
    body: bytes = b""
    ended: bool = False

    @property
    def whole(self) -> bool:
        """It has ended, or all is there that its head announces: HTTP/1.1 has no other end behind that."""
        return self.ended or self.length == len(self.body)

    @property
    def length(self) -> int | None:
        """Of its final head; None: there is none, or nobody can read it."""
        with suppress(hpack.HPACKError, KeyError, ValueError):
            for each in self.blocks:
                fields = dict(hpack.Decoder().decode(each, raw=True))
                if fields.get(b":status", b"2")[:1] != b"1":  # type: ignore[call-overload]
                    return int(fields[b"content-length"])  # type: ignore[index]
        return None


def unpadded(flags: int, payload: bytes) -> bytes:
    return payload[1 : len(payload) - payload[0]] if flags & 8 and payload else payload


def streams_in(raw: bytes) -> dict[int, Stream]:
    found: dict[int, Stream] = {}
    for each in take_frames(bytearray(raw)):
        stream = found.setdefault(each.ident & 0x7FFFFFFF, Stream())
        if stream.ended or each.kind not in (DATA, HEADERS):
            continue
        if each.kind == HEADERS:
            stream.blocks.append(unpadded(each.flags, each.payload)[5 if each.flags & 0x20 else 0 :])
        else:
            stream.body += unpadded(each.flags, each.payload)
        stream.ended = each.ended
    return found


def mutated(frames: list[bytes], dice: random.Random) -> bytes:
    """A frame left out, doubled or moved, or a byte changed, left out, doubled or put in, or the end cut off."""
    parts = list(frames)
    way, at = dice.randrange(8), dice.randrange(len(parts))
    if way == 0:
        del parts[at]
    elif way == 1:
        parts.insert(at, parts[at])
    elif way == 2:
        parts.insert(dice.randrange(len(parts)), parts.pop(at))
    else:
        part = parts[at]
        place = dice.randrange(min(len(part), dice.choice([9, 30, len(part)])))
        changed = {
            3: part[:place] + dice.randbytes(1) + part[place + 1 :],
            4: part[:place] + part[place + 1 :],
            5: part[:place] + part[place : place + 1] + part[place:],
            6: part[:place] + bytes([part[place] ^ 1 << dice.randrange(8)]) + part[place + 1 :],
        }
        parts[at] = changed.get(way, part[:place])
        if way == 7:
            del parts[at + 1 :]
    return b"".join(parts)


def message(ident: int, start: Fields, body: bytes, dice: random.Random) -> list[bytes]:
    """A request or a response with a body: padded or not, with its length or not, with trailers or not."""
    fields = [*start, (b"x-a", b"1")] + ([(b"content-length", b"%d" % len(body))] if dice.random() < 0.6 else [])
    parts = [frame(HEADERS, 4, ident, block(fields))]
    for at in range(0, len(body), 3000):
        piece = body[at : at + 3000]
        if dice.random() < 0.3:
            parts.append(frame(DATA, 8, ident, b"\x03" + piece + bytes(3)))
        else:
            parts.append(frame(DATA, 0, ident, piece))
    if dice.random() < 0.3:
        parts.append(frame(HEADERS, 5, ident, block([(b"x-sum", b"1")])))
    else:
        parts.append(frame(DATA, 1, ident, b""))
    return parts


def others(dice: random.Random) -> list[bytes]:
    all_of_them = [
        window_update(0, 9),
        settings([(4, 70_000)]),
        frame(PING, 0, 0, b"12345678"),
        frame(0x77, 1, 3, b"x"),
    ]
    return dice.sample(all_of_them, dice.randrange(3))


class Receiver:
    """An HTTP/1.1 upstream that responds to each whole request with its number."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.responses: set[bytes] = set()

    async def serve(self, link: Link) -> None:
        with suppress(Truncated):
            while True:
                received = await link.request()
                self.bodies.append(received.body)
                response = b"response %d" % len(self.bodies)
                self.responses.add(response)
                await link.send(answer(response))


async def test_mutants_of_requests(gateway_for: GatewayFor, upstream: Upstream) -> None:
    receiver = Receiver()
    upstream.behaviour = receiver.serve
    rig = await gateway_for(upstream, http2=True, limits=MANY)
    whole, opened = 0, 0
    complete: set[bytes] = set()  # of all before too, because an upstream may read a request after its caller left
    for number in range(MUTANTS):
        dice = random.Random(number)
        parts = message(1, POST, dice.randbytes(dice.choice([0, 1, 2999, 7000])), dice)
        parts += others(dice) + message(3, POST, dice.randbytes(20), dice)
        raw = mutated(parts, dice) + frame(PING, 0, 0, MARK)
        sent = streams_in(raw + FILLER)
        complete |= {stream.body for stream in sent.values() if stream.whole}
        opened += sum(bool(stream.blocks) for stream in sent.values())
        client = await Http2Client.connect(rig.gateway.addresses[0])
        with suppress(ConnectionError):
            await client.send(raw)
            with suppress(TimeoutError):
                await until_settled(client, sent, 0.1)
            if not settled(client, sent):  # the mark became a part of a longer frame, which ends here
                await client.send(FILLER)
                await until_settled(client, sent, 5)
        where = f"mutant {number}: {raw[:300].hex()}"
        assert len(receiver.bodies) <= opened, where
        assert complete.issuperset(receiver.bodies), where
        for response in client.responses.values():
            if response.ended and response.code is None and response.status == 200:
                assert response.body in receiver.responses, where
                whole += 1
        client.close()
    assert whole > MUTANTS / 3
    assert (await rig.ask("/")).status == 200


async def until_settled(client: Http2Client, sent: dict[int, Stream], within: float) -> None:
    async with asyncio.timeout(within):
        while not settled(client, sent) and await client.read():
            pass


def settled(client: Http2Client, sent: dict[int, Stream]) -> bool:
    """Nothing more comes: the mark is acknowledged, and each whole request has its response."""
    if not any(found.kind == PING and found.payload == MARK for found in client.frames):
        return False
    seen = client.responses
    return all(
        ident in seen and (seen[ident].ended or seen[ident].code is not None)
        for ident, stream in sent.items()
        if ident & 1 and stream.ended and stream.blocks
    )


async def test_mutants_of_responses(gateway_for: GatewayFor, upstream: Upstream) -> None:
    raw = b""

    async def serve(link: Link) -> None:
        session = Session(link)
        with suppress(Truncated, ConnectionError):
            await session.greet()
            await session.request()
            await session.send(raw)
            link.half_close()
            await link.gone()

    upstream.behaviour = serve
    proxied = proxy_to(upstream, http2="always")
    rig = await gateway_for(upstream, limits=MANY, proxies=(proxied,))
    ends = {"whole": 0, "502": 0, "cut": 0}
    for number in range(MUTANTS):
        dice = random.Random(number)
        body = dice.randbytes(dice.choice([0, 1, 2999, 7000]))
        parts = [frame(HEADERS, 4, 1, block([(b":status", b"103")]))] if dice.random() < 0.2 else []
        parts += message(1, [(b":status", b"200")], body, dice)
        at = dice.randrange(len(parts))
        raw = mutated(parts[:at] + others(dice) + parts[at:], dice)
        client = await rig.connect()
        await client.send(request("/", method=dice.choice(["GET", "POST"])))
        where = f"mutant {number}: {raw[:300].hex()}"
        try:
            response = await client.final()
        except Truncated:
            ends["cut"] += 1
        else:
            if response.get("x-gateway-reason") is not None:
                assert response.status == 502, where
                ends["502"] += 1
            else:
                stream = streams_in(raw + FILLER).get(1, Stream())
                length = len(stream.body) if stream.length is None else stream.length
                assert stream.ended or stream.length is not None, where
                assert response.body == (b"" if response.status in (204, 304) else stream.body[:length]), where
                assert response.status in (204, 304) or len(response.body) == length, where
                ends["whole"] += 1
        client.close()
    assert min(ends.values()) > MUTANTS / 20, ends
