"""One way through a tunnel: bytes from the stream that reads to the stream that writes, and a farewell behind them."""

from __future__ import annotations

from typing import Final, Protocol

from gateway.core.stream import TunnelEnd
from gateway.wire.websocket import Frames


class Owner(Protocol):
    """The tunnel of a way."""

    ending: str

    def touch(self) -> None:
        """A byte has come."""
        ...

    def passed(self, way: Way) -> None:
        """All that came by ``way``, and its end, was taken."""
        ...

    def said_close(self, way: Way) -> None:
        """A Close frame came by ``way``, and a farewell of our own is due or said."""
        ...


class Nowhere:
    """The end of a tunnel that is over, so that the tunnel does not keep its streams."""

    full = False

    def data(self, piece: memoryview, *, pooled: bool) -> None:
        """It is dropped."""

    def flush(self) -> None: ...
    def finish(self) -> None: ...
    def hold(self) -> None: ...
    def resume(self) -> None: ...
    def waiting(self) -> int:
        return 0


class NoOne:
    """The owner of a way whose tunnel is over."""

    ending = ""

    def touch(self) -> None: ...
    def passed(self, way: Way) -> None: ...
    def said_close(self, way: Way) -> None: ...


NOWHERE: Final = Nowhere()
NO_ONE: Final = NoOne()


class Way:
    """A `gateway.core.stream.Passage`."""

    __slots__ = ("_frames", "_goodbye", "_said", "_seen_end", "_sink", "_source", "_tunnel", "pieces")

    def __init__(self, tunnel: Owner, source: TunnelEnd, sink: TunnelEnd, frames: Frames | None) -> None:
        self._tunnel = tunnel
        self._source = source
        self._sink = sink
        self._frames = frames
        self._goodbye = b""
        """The Close frame that goes to the sink at the next end of a frame; empty: none is due."""
        self._said = False
        """That frame was written: nothing may follow it (RFC 6455 5.5.1)."""
        self._seen_end = False
        self.pieces = 0

    # -- for the end that reads

    def data(self, piece: memoryview, *, pooled: bool) -> None:
        """As `Passage.data`."""
        self._tunnel.touch()
        frames = self._frames
        if frames is None:
            self._sink.data(piece, pooled=pooled)
        elif self._goodbye:
            self._take_leave(piece, frames, pooled=pooled)
        else:
            frames.follow(piece)
            self.pieces = frames.headers
            self._sink.data(piece, pooled=pooled)

    def flush(self) -> None:
        self._sink.flush()

    def end(self) -> None:
        """As `Passage.end`."""
        if not self._seen_end:
            self._seen_end = True
            self._sink.finish()
            if not self._sink.full:
                self._tunnel.passed(self)

    # -- for the end that writes

    def hold(self) -> None:
        self._source.hold()

    def resume(self) -> None:
        self._source.resume()
        if self._seen_end:
            self._tunnel.passed(self)

    # -- farewell

    @property
    def closed(self) -> bool:
        """A Close frame has come this way."""
        return self._frames is not None and self._frames.closed

    def say(self, frame: bytes) -> None:
        """Write ``frame``, a Close, as soon as a frame ends; drop all that follows."""
        if not self._seen_end:
            self._goodbye = frame
            if self._frames is not None and self._frames.between:
                self._say()

    def closed_behind(self) -> None:
        """The sink has sent a Close of its own. If it is the response to ours, the two are done with each other."""
        if self._said:
            self.end()

    def forget(self) -> None:
        """The tunnel is over: what leads back to it and to its streams is let go."""
        self._source = self._sink = NOWHERE
        self._tunnel = NO_ONE

    def _say(self) -> None:
        self._said = True
        self._sink.data(memoryview(self._goodbye), pooled=False)
        self._tunnel.ending = self._tunnel.ending or "drained"

    def _take_leave(self, piece: memoryview, frames: Frames, *, pooled: bool) -> None:
        while piece and not self._said:
            taken = frames.follow(piece, to_end=True)
            self._sink.data(piece[:taken], pooled=pooled)
            piece = piece[taken:]
            if frames.between:
                self._say()
        if piece:
            frames.follow(piece)
            self.pieces = frames.headers
        if frames.closed:
            self._tunnel.said_close(self)
