"""The half of a stream that is written: DATA as far as the windows of the stream and of the connection are open.

What they do not take stays here, one buffer for a stream, and its source is held.
"""

from __future__ import annotations

from time import monotonic

from gateway.core.stream import Source
from gateway.wire.h2.codes import DATA, END_STREAM, MAX_FRAME, MAX_WINDOW
from gateway.wire.h2.frame_writer import FrameWriter
from gateway.wire.h2.frames import HEAD, frame


class BodyWriter:
    """Base of a stream: a `gateway.core.stream.Sink`, and a `gateway.wire.h2.frame_writer.Waiter`."""

    __slots__ = (
        "_blocked_since",
        "_end_due",
        "_pending",
        "_source",
        "_trailers_out",
        "_writer",
        "blocked",
        "body_out",
        "full",
        "ident",
        "send_window",
        "takes_chunks",
        "written",
    )

    def __init__(self, writer: FrameWriter, ident: int = 0, send_window: int = 0) -> None:
        self._writer = writer
        self.ident = ident
        """Its number; 0 before it begins."""
        self.send_window = send_window
        """Bytes of DATA that the peer still takes on it."""
        self.full = False
        """Bytes wait for a window, or for the socket."""
        self.takes_chunks = False
        self.body_out = 0
        self.blocked = 0.0
        self.written = False
        """END_STREAM was sent, or the stream has ended: nothing more is written."""
        self._blocked_since = 0.0
        self._pending = b""
        """What waits."""
        self._end_due = False
        """The end of the body waits too."""
        self._trailers_out: list[bytes] = []
        self._source: Source | None = None

    # -- what the two sides do about it

    def _on_full(self) -> None:
        """The peer takes no more, since `_blocked_since`."""
        raise NotImplementedError

    def _on_taken(self) -> None:
        """The peer takes all that waited."""
        raise NotImplementedError

    def _takes_in_time(self, size: int) -> bool:
        """The peer takes ``size`` bytes of what waits; False: that is too little, and it is dealt with."""
        del size
        return True

    def _on_taken_in_part(self) -> None:
        """The peer has taken something, and more waits."""

    def _trailers_due(self) -> bool:
        """Trailers follow the body."""
        return bool(self._trailers_out)

    def _on_written(self) -> None:
        """END_STREAM was sent."""
        raise NotImplementedError

    def _on_overflow(self) -> None:
        """The peer opened the window wider than any may be (RFC 9113 6.9.1). May raise `H2Error`."""
        raise NotImplementedError

    # -- a sink

    def data(self, piece: memoryview, *, pooled: bool) -> None:
        """As `Sink.data`. What cannot be sent is copied: no transport gets the buffer of the pool."""
        del pooled
        if not self.written and piece:
            self.body_out += len(piece)
            self._send(piece, last=False)

    def pieces(self, parts: list[memoryview], *, pooled: bool) -> None:
        """As `Sink.pieces`; many small pieces become one."""
        if len(parts) == 1:
            self.data(parts[0], pooled=pooled)
        elif parts:
            self.data(memoryview(b"".join(parts)), pooled=False)

    def chunks(self, raw: bytes, size: int) -> None:
        raise AssertionError("HTTP/2 has no chunks")

    def flush(self) -> None:
        """The head has gone out already."""

    def whole(self, body: memoryview) -> None:
        """As `Sink.whole`."""
        if self.written:
            return
        self.body_out = len(body)
        is_last = bool(body) and not self._trailers_due()
        if body:
            self._send(body, last=is_last)
        if not is_last:
            self.end([])

    def end(self, trailers: list[bytes]) -> None:
        """The body is complete."""
        self._source = None
        if self.written:
            return
        if self.full:
            self._end_due = True
            self._trailers_out = trailers
        else:
            self._send_end(trailers)

    def ended(self) -> None:
        raise AssertionError("HTTP/2 has no chunks")

    # -- frames

    def _send(self, piece: memoryview, *, last: bool) -> None:
        """``last``: END_STREAM follows, and no trailers."""
        self.flush()
        writer, size = self._writer, len(piece)
        fits = 0
        if not self.full and not writer.full:
            fits = min(size, self.send_window, writer.send_window)
        if fits == size:
            self._send_frames(piece, ended=last)
            return
        if fits > 0:
            self._send_frames(piece[:fits], ended=False)
            piece = piece[fits:]
        self._pending += piece
        self._end_due = last
        self._block()

    def _send_frames(self, piece: memoryview, *, ended: bool) -> None:
        writer, ident, size = self._writer, self.ident, len(piece)
        self.send_window -= size
        writer.send_window -= size
        start = 0
        while size - start > MAX_FRAME:
            writer.emit(frame(DATA, 0, ident, bytes(piece[start : start + MAX_FRAME])))
            start += MAX_FRAME
        rest = size - start
        flags = END_STREAM if ended else 0
        writer.emit(HEAD.pack(rest >> 8, rest & 0xFF, DATA, flags, ident) + (piece[start:] if start else piece))
        if ended:
            self._written()

    def _send_end(self, trailers: list[bytes]) -> None:
        writer = self._writer
        if trailers:
            block = b"".join([writer.encoder.line(line) for line in trailers])
            writer.emit_headers(self.ident, block, ended=True)
        else:
            writer.emit(frame(DATA, END_STREAM, self.ident, b""))
        self._written()

    def _written(self) -> None:
        self.written = True
        self._end_due = False
        self._source = None
        self._on_written()

    # -- windows

    def _block(self) -> None:
        if self.send_window > 0:
            self._writer.waiters[self] = None
        if self.full:
            return
        self.full = True
        self._blocked_since = monotonic()
        self._on_full()
        if self._source is not None:
            self._source.hold()

    def open_window(self, step: int) -> None:
        """The peer takes ``step`` bytes more on this stream; fewer when it is below 0. Raises as `_on_overflow`."""
        self.send_window += step
        if self.send_window > MAX_WINDOW:
            self._on_overflow()
        elif self.full and self.send_window > 0:
            self._writer.waiters[self] = None

    def send_more(self, most: int) -> None:
        """As `gateway.wire.h2.frame_writer.Waiter`."""
        pending, writer = self._pending, self._writer
        size = min(len(pending), most, self.send_window, writer.send_window)
        if size <= 0 or self.written or not self._takes_in_time(size):
            return
        self._pending = pending[size:]
        if not self._pending:
            self.full = False
            self.blocked += monotonic() - self._blocked_since
            self._on_taken()
        last = self._end_due and not self.full and not self._trailers_due()
        self._send_frames(memoryview(pending)[:size], ended=last)
        if self.full:
            self._on_taken_in_part()
            if self.send_window > 0:
                writer.waiters[self] = None
        elif self._end_due:
            self._send_end(self._trailers_out)
        elif self._source is not None:
            self._source.resume()

    def stop_writing(self) -> None:
        """Nothing more is written: the stream has ended."""
        self.written = True
        self._writer.waiters.pop(self, None)
        self._pending = b""
        self._end_due = self.full = False
        self._source = None
