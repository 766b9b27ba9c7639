"""The client's side of HTTP/2 on a link without a socket."""

from __future__ import annotations

import asyncio

from harness.frames import Fields, Frame, Reader, block, take_frames
from harness.scripted import KeptReply, ScriptedTransport

from gateway.core.limits import Limits
from gateway.core.message import CHUNKED, OutgoingRequest
from gateway.wire.buffers import BufferPool
from gateway.wire.h2.client import H2Client
from gateway.wire.h2.client_stream import H2ClientStream
from gateway.wire.h2.codes import DATA, HEADERS, PREFACE
from gateway.wire.h2.frames import frame, settings
from gateway.wire.h2.shared import Shared

OK: Fields = [(b":status", b"200")]


def outgoing(method: bytes = b"GET", length: int = 0, fields: bytes = b"", **more: object) -> OutgoingRequest:
    replaced = more.get("replaced", frozenset())
    assert isinstance(replaced, frozenset)
    return OutgoingRequest(
        method, b"/a", b"up.test", fields, length, takes_trailers=bool(more.get("trailers")), replaced=replaced
    )


class Asking:
    """A request, and what came of it."""

    def __init__(self, stream: H2ClientStream) -> None:
        self.stream = stream
        self.reply = KeptReply()
        self.done: asyncio.Future[None]

    @property
    def error(self) -> BaseException | None:
        assert self.done.done(), "the request still runs"
        return self.done.exception()


class UpstreamStage:
    """A connection to an endpoint whose SETTINGS have come."""

    def __init__(self, *, greeted: bool = True, pairs: list[tuple[int, int]] | None = None) -> None:
        self.now = 1000.0
        """On the clock of the budget."""
        self.buffers = BufferPool()
        self.freed = 0
        self.lost = 0
        loop = asyncio.get_running_loop()
        self.client = H2Client(loop, self.buffers, Shared(), b"http", lambda: self.now)
        self.client.on_free = self._on_free  # type: ignore[assignment]
        self.client.on_lost = self._on_lost  # type: ignore[assignment]
        self.transport = ScriptedTransport(self.client, peername=("192.0.2.9", 80))
        self.reader = Reader()
        if greeted:
            self.say(settings(pairs or []))
            self.client.flush()
            self.transport.taken.clear()

    def _on_free(self, client: H2Client) -> None:
        self.freed += 1

    def _on_lost(self, client: H2Client) -> None:
        self.lost += 1

    def ask(self, request: OutgoingRequest | None = None, body: bytes = b"", limits: Limits | None = None) -> Asking:
        asking = Asking(self.client.open())
        asking.done = asking.stream.send(request or outgoing(), b"", body, asking.reply, limits or Limits())
        return asking

    def upload(self) -> Asking:
        return self.ask(outgoing(b"POST", CHUNKED))

    def say(self, *frames: bytes) -> None:
        self.transport.say(b"".join(frames))

    def head(self, asking: Asking, fields: Fields = OK, *, ended: bool = False) -> None:
        self.say(frame(HEADERS, 5 if ended else 4, asking.stream.ident, block(fields)))

    def data(self, asking: Asking, payload: bytes, *, ended: bool = False) -> None:
        self.say(frame(DATA, 1 if ended else 0, asking.stream.ident, payload))

    def frames(self) -> list[Frame]:
        """What was written since the last call."""
        self.client.flush()
        taken = self.transport.taken
        if taken[: len(PREFACE)] == PREFACE:
            del taken[: len(PREFACE)]
        return take_frames(taken)

    def close(self) -> None:
        self.transport.lose()
