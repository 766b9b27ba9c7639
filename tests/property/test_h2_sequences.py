"""Any sequence of frames: a connection of HTTP/2 sends nothing that its rules forbid, and leaves nothing behind.

The model is small: which streams the client has opened, and what it has allowed to be sent. What comes back is checked
against it frame by frame.
"""

from __future__ import annotations

import asyncio
from typing import Any

from harness.frames import GET, POST, block
from harness.scripted import ScriptedEnd
from hypothesis import given
from hypothesis import strategies as st
from unit.wire.h2.stage import CallerStage

from gateway.core.limits import Limits
from gateway.core.message import ResponseHead
from gateway.wire.h2.codes import DATA, GOAWAY, HEADERS, RST_STREAM, WINDOW_UPDATE
from gateway.wire.h2.frames import frame, goaway, rst_stream, window_update
from gateway.wire.h2.frames import settings as settings_frame
from gateway.wire.h2.states import ResponseState

CONNECT = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:]]
idents = st.sampled_from([1, 1, 3, 3, 5, 7, 9, 2, 0])
whole = idents.map(lambda i: frame(HEADERS, 5, i, block(GET)))
posts = idents.map(lambda i: frame(HEADERS, 4, i, block(POST)))
trailers = idents.map(lambda i: frame(HEADERS, 5, i, block([(b"x", b"y")])))
bodies = st.builds(
    lambda i, size, end: frame(DATA, end, i, bytes(size)), idents, st.sampled_from([0, 1, 9000]), st.integers(0, 1)
)
resets = idents.map(lambda i: rst_stream(i, 8))
steps = st.builds(window_update, idents, st.sampled_from([0, 1, 70000, (1 << 31) - 1]))
windows = st.sampled_from([0, 1, 100, 65535, (1 << 31) - 1]).map(lambda size: settings_frame([(4, size)]))
others = st.sampled_from(
    [frame(6, 0, 0, b"12345678"), frame(2, 0, 1, b"1234"), goaway(0, 0), frame(9, 4, 1, b""), b"\0"]
)
tunnels = idents.map(lambda i: frame(HEADERS, 4, i, block(CONNECT)))
turns = st.sampled_from(["turn", "respond"])
turns_of_endpoints = st.sampled_from(["switch", "switch", "say", "close", "end", "lose", "fill", "free"])
moves_of_a_client = whole | posts | trailers | bodies | resets | steps | windows | others | turns | turns

moves_with_tunnels = (
    tunnels | tunnels | bodies | resets | trailers | steps | windows | turns | turns_of_endpoints | turns_of_endpoints
)


class Endpoint(ScriptedEnd):
    """The far end of a tunnel."""

    def play(self, move: str) -> None:
        """What it does, or what becomes of it."""
        tunnel = self.tunnel
        if tunnel is None or self.abandoned:
            return
        if move in ("say", "close") and not self.held:
            tunnel.outward.data(
                memoryview(b"\x88\x00" if move == "close" else b"\x82\x7e\x80\x00" + bytes(32768)), pooled=False
            )
        elif move == "end" and not self.held:
            tunnel.outward.end()
        elif move == "lose":
            tunnel.endpoint_lost()
        elif move == "fill" and not self.full:
            self.full = True
            tunnel.inward.hold()
        elif move == "free" and self.full:
            self.full = False
            tunnel.inward.resume()

    def data(self, piece: memoryview, *, pooled: bool) -> None:
        assert not self.abandoned
        super().data(piece, pooled=pooled)


class Model:
    """What the client has seen, and may see."""

    def __init__(self) -> None:
        self.ended: set[int] = set()
        self.headed: set[int] = set()
        self.gone = False

    def check(self, stage: CallerStage) -> None:
        for found in stage.frames():
            assert not self.gone or found.kind == GOAWAY, "nothing follows the end of the connection"
            if found.kind in (HEADERS, DATA):
                assert found.ident & 1
                assert found.ident not in self.ended, "nothing follows the end of a stream"
                assert found.kind == HEADERS or found.ident in self.headed, "a body follows its head"
                self.headed.add(found.ident)
                if found.ended:
                    self.ended.add(found.ident)
            elif found.kind == RST_STREAM:
                self.ended.add(found.ident)
            elif found.kind == WINDOW_UPDATE:
                assert found.number > 0
            elif found.kind == GOAWAY and found.number:
                self.gone = True


ENDPOINT_MOVES = {"say", "close", "end", "lose", "fill", "free"}


def switch(stage: CallerStage) -> list[Endpoint]:
    """Every handshake that waits for its endpoint becomes a tunnel."""
    made = []
    for stream in list(stage.server._runners):
        asked = stream.exchange is not None and b"upgrade" in stream.exchange.request.known
        if asked and stream.response_state is ResponseState.WAITING:
            made.append(Endpoint())
            stream.switch(ResponseHead(101, b"", 1, [], {}, 0, True), b"", made[-1])  # type: ignore[arg-type]
    return made


async def play(moves: list[Any]) -> None:
    stage = CallerStage(Limits())
    model = Model()
    errors: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    endpoints: list[Endpoint] = []
    for move in moves:
        if move == "switch":
            endpoints += switch(stage)
        elif move in ENDPOINT_MOVES:
            for endpoint in endpoints:
                endpoint.play(move)
        elif move == "turn":
            await stage.turn()
        elif move == "respond":
            await stage.respond()
        elif stage.transport.reading and not stage.transport.closing:
            stage.say(move)
        model.check(stage)
        server = stage.server
        assert server._leaving == sum(s.leaving for s in server._runners)
        assert set(server.waiters) <= set(server.streams.values())
    stage.transport.lose()
    await stage.turn()
    if endpoints:  # an exchange of this stage does not see the end of its tunnel
        await stage.respond()
    assert errors == []
    assert all(len(endpoint.abandoned) == 1 for endpoint in endpoints), "each connection is closed, once"
    assert not stage.server.exchanges
    assert not stage.server.streams
    assert not stage.server._open
    assert stage.server._leaving == 0
    assert not stage.service.connections
    assert not stage.buffers.outstanding
    assert len(asyncio.all_tasks()) == 1


@given(st.lists(moves_of_a_client, max_size=25))
def test_any_sequence(moves: list[Any]) -> None:
    asyncio.run(play(moves))


@given(st.lists(moves_with_tunnels, max_size=25))
def test_any_sequence_with_tunnels(moves: list[Any]) -> None:
    asyncio.run(play(moves))
