"""Frames (RFC 9113 4 and 6): bytes in, calls out. It knows no stream, no window and no socket.

Payload of DATA goes on in the parts in which it comes. All other frames are collected whole: they are small, and a
header block of several frames has bounds of its own. Priorities are read over (RFC 9113 5.3.2).
"""

from __future__ import annotations

from typing import Final, Protocol

from gateway.wire.h2.budget import Budget
from gateway.wire.h2.codes import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEADERS,
    MAX_FRAME,
    MAX_STREAM_ID,
    MAX_WINDOW,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    WITH_PRIORITY,
    H2Error,
)
from gateway.wire.h2.frames import HEAD, HEAD_SIZE, WORD, settings_in, stripped

_MAX_CONTINUATIONS: Final = 8
MAX_BLOCK: Final = 65536
"""Bytes of a header block as it is sent."""
_SMALL_STEP: Final = 256
"""A WINDOW_UPDATE of fewer bytes costs more than it moves."""
_EMPTY_COST: Final = 10


class Receiver(Protocol):
    """What the frames are given to. Each method may raise `H2Error`, which ends the connection."""

    def on_headers(self, ident: int, block: bytes, *, ended: bool) -> None: ...
    def on_data_frame(self, ident: int, size: int) -> None:
        """A DATA frame begins; ``size``: bytes that count against the windows, padding included."""
        ...

    def on_padding(self, ident: int, size: int) -> None:
        """So many bytes of the frame are no payload."""
        ...

    def on_data(self, ident: int, piece: memoryview, *, ended: bool) -> None:
        """Payload. ``ended``: the body ends with it."""
        ...

    def on_reset(self, ident: int, code: int) -> None: ...
    def on_window(self, ident: int, step: int) -> None:
        """``ident`` 0: of the connection. ``step`` is above 0."""
        ...

    def on_settings(self, pairs: list[tuple[int, int]]) -> None:
        """To be acknowledged. The values are in their ranges."""
        ...

    def on_ping(self, payload: bytes) -> None:
        """To be acknowledged."""
        ...

    def on_ping_ack(self, payload: bytes) -> None: ...
    def on_goaway(self, last: int, code: int) -> None: ...
    def on_stream_error(self, ident: int, code: int, details: str) -> None:
        """The frame is wrong in a way that concerns its stream alone."""
        ...


class FrameReader:
    """Of one connection."""

    __slots__ = (
        "_block",
        "_block_ended",
        "_block_ident",
        "_budget",
        "_continuations",
        "_ended",
        "_ident",
        "_left",
        "_max_block",
        "_padded",
        "_padding",
        "_preface",
        "_receiver",
        "_stash",
        "_strange",
        "frames",
        "messages",
    )

    def __init__(self, receiver: Receiver, budget: Budget, *, preface: bool, max_block: int = MAX_BLOCK) -> None:
        """``budget``: for frames that move nothing. ``preface``: the peer is a client, which begins with it."""
        self._receiver = receiver
        self._budget = budget
        self._preface = preface
        self._max_block = max_block
        self._strange = True
        """No SETTINGS have come yet, which must be the first frame (RFC 9113 3.4)."""
        self._stash = bytearray()
        """Bytes of a frame that has not come whole."""
        self._left = self._padding = 0
        """Payload of the DATA frame to come, and its padding."""
        self._padded = False
        """The length of its padding is the next byte."""
        self._ident = 0
        self._ended = False
        self._block: list[bytes] = []
        self._block_ident = 0
        """The stream of the header block that goes on in CONTINUATION frames; 0: there is none."""
        self._block_ended = False
        self._continuations = 0
        self.frames = 0
        """Frames that came, so far."""
        self.messages = 0
        """The same, but a header block counts once, at its end."""

    @property
    def partial(self) -> bool:
        """A frame or a header block is not complete, and nothing else can come before it is. Not a frame of DATA."""
        return bool(self._stash) or self._block_ident > 0

    def feed(self, data: memoryview) -> None:
        """Take ``data``, all of it. Raises `H2Error`."""
        position, end = 0, len(data)
        while position < end:
            if self._stash or self._preface:
                position = self._complete(data, position)
            elif self._left or self._padding or self._padded:
                position = self._take_data(data, position)
            elif end - position < HEAD_SIZE:
                self._stash += data[position:]
                return
            else:
                high, low, kind, flags, ident = HEAD.unpack_from(data, position)
                size: int = high << 8 | low
                if kind == DATA:
                    self._begin_data(size, flags, ident & MAX_STREAM_ID)
                    position += HEAD_SIZE
                    continue
                self._check(size, kind)
                stop = position + HEAD_SIZE + size
                if stop > end:
                    self._stash += data[position:]
                    return
                self._frame(kind, flags, ident & MAX_STREAM_ID, bytes(data[position + HEAD_SIZE : stop]))
                position = stop

    def _complete(self, data: memoryview, position: int) -> int:
        """Go on with the frame, or the preface, that has begun."""
        stash = self._stash
        if self._preface:
            stop = position + len(PREFACE) - len(stash)
            stash += data[position:stop]
            if stash != PREFACE[: len(stash)]:
                raise H2Error(PROTOCOL_ERROR, "the connection does not begin with the preface of HTTP/2")
            if len(stash) == len(PREFACE):
                self._preface = False
                stash.clear()
            return stop
        if len(stash) < HEAD_SIZE:
            stop = position + HEAD_SIZE - len(stash)
            stash += data[position:stop]
            if len(stash) < HEAD_SIZE:
                return stop
            position = stop
        high, low, kind, flags, ident = HEAD.unpack_from(stash)
        size: int = high << 8 | low
        if kind == DATA:
            stash.clear()
            self._begin_data(size, flags, ident & MAX_STREAM_ID)
            return position
        self._check(size, kind)
        stop = position + HEAD_SIZE + size - len(stash)
        stash += data[position:stop]
        if len(stash) == HEAD_SIZE + size:
            payload = bytes(stash[HEAD_SIZE:])
            stash.clear()
            self._frame(kind, flags, ident & MAX_STREAM_ID, payload)
        return stop

    def _check(self, size: int, kind: int) -> None:
        if size > MAX_FRAME:
            raise H2Error(FRAME_SIZE_ERROR, f"a frame is larger than {MAX_FRAME} bytes")
        if self._block_ident and kind != CONTINUATION:
            raise H2Error(PROTOCOL_ERROR, "a header block is interrupted by another frame")
        if self._strange:
            if kind != SETTINGS:
                raise H2Error(PROTOCOL_ERROR, "the first frame is not SETTINGS")
            self._strange = False

    # -- DATA

    def _begin_data(self, size: int, flags: int, ident: int) -> None:
        self._check(size, DATA)
        if not ident:
            raise H2Error(PROTOCOL_ERROR, "DATA has no stream")
        self.frames += 1
        self.messages += 1
        self._ident, self._left, self._ended = ident, size, flags & END_STREAM > 0
        self._padded = flags & PADDED > 0
        if self._padded and not size:
            raise H2Error(FRAME_SIZE_ERROR, "a padded frame has no length of its padding")
        if not size and not self._ended:
            self._budget.spend(_EMPTY_COST)
        self._receiver.on_data_frame(ident, size)
        if not size and self._ended:
            self._receiver.on_data(ident, memoryview(b""), ended=True)

    def _take_data(self, data: memoryview, position: int) -> int:
        if self._padded:
            self._begin_padding(data[position])
            return position + 1
        if not self._left:
            stop = min(position + self._padding, len(data))
            self._padding -= stop - position
            return stop
        stop = min(position + self._left, len(data))
        self._left -= stop - position
        self._receiver.on_data(self._ident, data[position:stop], ended=self._ended and not self._left)
        return stop

    def _begin_padding(self, padding: int) -> None:
        self._padded = False
        self._left -= 1
        if padding > self._left:
            raise H2Error(PROTOCOL_ERROR, "the padding is longer than its frame")
        self._padding = padding
        self._left -= padding
        self._receiver.on_padding(self._ident, padding + 1)
        if not self._left:
            if self._ended:
                self._receiver.on_data(self._ident, memoryview(b""), ended=True)
            else:
                self._budget.spend(_EMPTY_COST)

    # -- all others

    def _frame(self, kind: int, flags: int, ident: int, payload: bytes) -> None:
        self.frames += 1
        if kind == HEADERS:
            self._headers(flags, ident, payload)
            return
        if kind == CONTINUATION:
            self._continuation(flags, ident, payload)
            return
        self.messages += 1
        if kind == WINDOW_UPDATE:
            self._window_update(ident, payload)
        elif kind == RST_STREAM:
            self._sized(len(payload) == 4, ident > 0, "RST_STREAM")
            self._receiver.on_reset(ident, WORD.unpack(payload)[0])
        elif kind == SETTINGS:
            self._settings(flags, ident, payload)
        elif kind == PING:
            self._ping(flags, ident, payload)
        elif kind == GOAWAY:
            self._sized(len(payload) >= 8, not ident, "GOAWAY")
            last, code = WORD.unpack_from(payload)[0], WORD.unpack_from(payload, 4)[0]
            self._receiver.on_goaway(last & MAX_STREAM_ID, code)
        elif kind == PRIORITY:
            self._budget.spend(1)
            self._sized(True, ident > 0, "PRIORITY")
            if len(payload) != 5:
                self._receiver.on_stream_error(ident, FRAME_SIZE_ERROR, "PRIORITY does not have its size")
        elif kind == PUSH_PROMISE:
            raise H2Error(PROTOCOL_ERROR, "nothing may be pushed here")
        else:
            self._budget.spend(1)

    def _sized(self, size: bool, ident: bool, name: str) -> None:
        """``size``, ``ident``: whether they are what the kind of frame demands."""
        if not ident:
            raise H2Error(PROTOCOL_ERROR, f"{name} is on a stream on which it cannot be")
        if not size:
            raise H2Error(FRAME_SIZE_ERROR, f"{name} does not have its size")

    def _headers(self, flags: int, ident: int, payload: bytes) -> None:
        if not ident:
            raise H2Error(PROTOCOL_ERROR, "HEADERS have no stream")
        if flags & (PADDED | WITH_PRIORITY):
            payload = stripped(flags, payload)
        if flags & END_HEADERS:
            self.messages += 1
            self._receiver.on_headers(ident, payload, ended=flags & END_STREAM > 0)
            return
        if not payload:
            self._budget.spend(_EMPTY_COST)
        self._block = [payload]
        self._block_ident = ident
        self._block_ended = flags & END_STREAM > 0
        self._continuations = 0

    def _continuation(self, flags: int, ident: int, payload: bytes) -> None:
        if not self._block_ident or ident != self._block_ident:
            raise H2Error(PROTOCOL_ERROR, "CONTINUATION continues nothing")
        if not payload:
            self._budget.spend(_EMPTY_COST)
        self._continuations += 1
        self._block.append(payload)
        if self._continuations > _MAX_CONTINUATIONS or sum(map(len, self._block)) > self._max_block:
            raise H2Error(ENHANCE_YOUR_CALM, "a header block is too long")
        if flags & END_HEADERS:
            self.messages += 1
            block, self._block = b"".join(self._block), []
            self._block_ident = 0
            self._receiver.on_headers(ident, block, ended=self._block_ended)

    def _window_update(self, ident: int, payload: bytes) -> None:
        self._sized(len(payload) == 4, True, "WINDOW_UPDATE")
        step = WORD.unpack(payload)[0] & MAX_WINDOW
        if step < _SMALL_STEP:
            self._budget.spend(1)
        if step:
            self._receiver.on_window(ident, step)
        elif ident:
            self._receiver.on_stream_error(ident, PROTOCOL_ERROR, "a WINDOW_UPDATE opens nothing")
        else:
            raise H2Error(PROTOCOL_ERROR, "a WINDOW_UPDATE opens nothing")

    def _settings(self, flags: int, ident: int, payload: bytes) -> None:
        self._budget.spend(1)
        self._sized(not (len(payload) % 6 or (flags & ACK and payload)), not ident, "SETTINGS")
        if flags & ACK:
            return
        self._receiver.on_settings(settings_in(payload))

    def _ping(self, flags: int, ident: int, payload: bytes) -> None:
        self._sized(len(payload) == 8, not ident, "PING")
        self._budget.spend(1)
        if flags & ACK:
            self._receiver.on_ping_ack(payload)
        else:
            self._receiver.on_ping(payload)
