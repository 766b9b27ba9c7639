"""Which protocol the first bytes choose, and what becomes of a connection before."""

from __future__ import annotations

import asyncio

import pytest
from harness.frames import take_frames
from harness.scripted import ScriptedTransport
from unit.wire.h1.stage import GET, Service, seconds_left

from gateway import errors
from gateway.core.limits import Limits
from gateway.wire.accept import Acceptor
from gateway.wire.buffers import BufferPool
from gateway.wire.h1.head import HeadParser
from gateway.wire.h1.server import H1Server
from gateway.wire.h2.codes import PREFACE
from gateway.wire.h2.frames import settings
from gateway.wire.h2.server import H2Server
from gateway.wire.prior_knowledge import PriorKnowledge


class Stage:
    def __init__(self) -> None:
        self.service = Service(Limits(first_byte_timeout=11))
        acceptor = Acceptor(BufferPool(), HeadParser())
        made = acceptor.plain(asyncio.get_running_loop(), self.service, http2=True)
        assert isinstance(made, PriorKnowledge)
        self.sniffer = made
        self.transport = ScriptedTransport(made, peername=("192.0.2.1", 5000))

    @property
    def link(self) -> object:
        return self.transport.link

    def say(self, data: bytes, size: int) -> None:
        for start in range(0, len(data), size):
            self.transport.say(data[start : start + size])


@pytest.mark.parametrize("size", [1, 3, 24, 100])
async def test_the_preface_chooses_http_2(size: int) -> None:
    stage = Stage()
    assert stage.service.connections == {stage.sniffer}
    stage.say(PREFACE + settings([]), size)
    assert isinstance(stage.link, H2Server)
    assert stage.service.connections == {stage.link}
    stage.link.flush()
    assert [frame.kind for frame in take_frames(stage.transport.taken)] == [4, 8, 4]
    stage.transport.lose()
    assert not stage.service.connections


@pytest.mark.parametrize("size", [1, 100])
@pytest.mark.parametrize("data", [GET, GET.replace(b"GET", b"PRI"), GET.replace(b"GET", b"PUT")])
async def test_all_else_is_left_to_http_1_1(data: bytes, size: int) -> None:
    stage = Stage()
    stage.service.go_on.set()
    stage.say(data, size)
    assert isinstance(stage.link, H1Server)
    for _ in range(6):
        await asyncio.sleep(0)
    assert stage.transport.taken.startswith(b"HTTP/1.1 200 OK\r\n")
    stage.transport.lose()


async def test_a_large_first_read() -> None:
    stage = Stage()
    stage.transport.say(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n" + bytes(20000))
    await asyncio.sleep(0)
    assert stage.service.served[0].downstream.take_body() == bytes(20000)
    stage.transport.lose()


async def test_one_that_sends_nothing() -> None:
    stage = Stage()
    assert stage.sniffer.idle_since
    assert not stage.sniffer.exchanges
    assert seconds_left(stage.sniffer._timer) == 11
    stage.say(PREFACE[:5], 1)
    assert seconds_left(stage.sniffer._timer) == 11
    stage.sniffer.make_room()
    assert stage.transport.lost
    assert not stage.service.connections


async def test_a_drain_and_a_cut() -> None:
    stage = Stage()
    stage.sniffer.close_idle()
    assert stage.transport.lost
    stage.sniffer.close_idle()
    stage = Stage()
    stage.sniffer.cancel(errors.DRAINING)
    assert stage.transport.lost
