"""A link without a socket: a transport of which a test decides what it takes and brings, a source, and a reply."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.core.limits import Limits
from gateway.core.message import ResponseHead
from gateway.core.peer import Peer
from gateway.core.stream import Source, Tunnel
from gateway.wire.link import Link
from gateway.wire.memory import MemoryStream


class ScriptedTransport(asyncio.Transport):
    """Under ``link``. It takes all that is written until `stop`, and keeps it in ``taken``."""

    def __init__(self, link: Link, **info: Any) -> None:
        super().__init__()
        self.link = link
        self.info = info
        self.taken = bytearray()
        self.waiting = bytearray()
        self.reading = True
        self.eof = False
        self.closing = False
        self.lost = False
        self._stopped = False
        link.connection_made(self)

    # -- what the link calls

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.info.get(name, default)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high == 0, "what the kernel does not take holds the source at once"

    def set_protocol(self, protocol: Any) -> None:
        self.link = protocol

    def get_write_buffer_size(self) -> int:
        return len(self.waiting)

    def is_closing(self) -> bool:
        return self.closing

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.eof = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def write(self, data: Any) -> None:
        if not self._stopped:
            self.taken += data
            return
        before = len(self.waiting)
        self.waiting += data
        if not before and self.waiting:
            self.link.pause_writing()

    def writelines(self, parts: Any) -> None:
        self.write(b"".join(parts))

    def close(self) -> None:
        self.closing = True
        if not self.waiting:
            self.lose()

    def abort(self) -> None:
        self.closing = True
        self.waiting.clear()
        self.lose()

    # -- what the peer does

    def stop(self) -> None:
        """Take nothing more."""
        self._stopped = True

    def take(self) -> None:
        """Take what waits, and all that follows."""
        self._stopped = False
        if self.waiting:
            self.taken += self.waiting
            self.waiting.clear()
            self.link.resume_writing()

    def say(self, data: bytes) -> None:
        """Bring bytes, as many reads as they need. Only while the link reads."""
        assert self.reading, "the link does not read"
        while data:
            buffer = self.link.get_buffer(-1)
            piece, data = data[: len(buffer)], data[len(buffer) :]
            buffer[: len(piece)] = piece
            self.link.buffer_updated(len(piece))

    def lose(self, error: Exception | None = None) -> None:
        """The connection has ended."""
        if not self.lost:
            self.lost = self.closing = True
            self.link.connection_lost(error)


class HeldSource:
    """A source that notes whether it is held."""

    held = False

    def hold(self) -> None:
        self.held = True

    def resume(self) -> None:
        self.held = False


class ScriptedEnd(HeldSource):
    """One side of a tunnel: it notes what is asked of it."""

    def __init__(self) -> None:
        self.full = False
        self.written = bytearray()
        self.flushed = False
        self.finished = False
        self.unacknowledged = 0
        self.abandoned: list[float] = []
        self.tunnel: Tunnel | None = None

    def data(self, piece: memoryview, *, pooled: bool) -> None:
        assert not self.finished, "nothing is written behind the end"
        self.written += piece

    def flush(self) -> None:
        self.flushed = True

    def finish(self) -> None:
        self.finished = True

    def waiting(self) -> int:
        return self.unacknowledged

    def join(self, tunnel: Tunnel) -> None:
        self.tunnel = tunnel

    def abandon(self, gone_at: float) -> None:
        self.abandoned.append(gone_at)


class KeptReply:
    """A reply that keeps the response in memory."""

    def __init__(self) -> None:
        self.switched: ResponseHead | None = None
        self.sink = MemoryStream(Peer("192.0.2.1", 1, b"http", lambda address: False), Limits())

    def interim(self, head: ResponseHead) -> None:
        self.sink.interim(head)

    def begin(self, head: ResponseHead, source: Source | None) -> MemoryStream:
        self.sink.begin(head, b"", source, None)
        return self.sink

    def switch(self, head: ResponseHead) -> None:
        self.switched = head
