"""The client's side of HTTP/2: one connection to an endpoint, which carries many requests at a time.

    place --open--> stream --send--> frames --read--> streams --deliver--> sinks

A place for a stream is taken when it is opened and is free when its stream has ended on the wire, so that no more run
than the endpoint allows. The connection is never read slowly for the sake of one stream: each has a window of its own.
"""

from __future__ import annotations

import asyncio
import os
from time import monotonic
from typing import Final

from gateway import errors
from gateway.errors import GatewayError
from gateway.wire.h2.client_frames import ClientFrames
from gateway.wire.h2.client_response import STREAM_WINDOW
from gateway.wire.h2.client_stream import H2ClientStream
from gateway.wire.h2.codes import (
    DEFAULT_WINDOW,
    ENABLE_PUSH,
    INITIAL_WINDOW_SIZE,
    NO_ERROR,
    PREFACE,
    H2Error,
)
from gateway.wire.h2.frame_writer import CONNECTION_WINDOW
from gateway.wire.h2.frames import goaway, settings, window_update

_MAX_UNSENT: Final = 1 << 20
"""Bytes that may wait for an endpoint that sends frames which demand a response, and takes none."""
_MAX_REST: Final = 262144
"""Bytes that are still taken from the kernel after a failed write."""


class H2Client(ClientFrames):
    """A `gateway.wire.connections.ClientSession`, and the `asyncio.BufferedProtocol` of its socket."""

    __slots__ = ()

    # -- life

    def _connected(self, transport: asyncio.BaseTransport) -> None:
        super()._connected(transport)
        pairs = [(ENABLE_PUSH, 0), (INITIAL_WINDOW_SIZE, STREAM_WINDOW)]
        self.emit(PREFACE + settings(pairs) + window_update(0, CONNECTION_WINDOW - DEFAULT_WINDOW))
        self.flush()

    async def opened(self) -> None:
        """Wait for the SETTINGS of the endpoint, which say how many streams it allows (RFC 9113 3.4).

        Raises OSError when the connection ends before, and `GatewayError` ``upstream_bad_response`` when something else
        comes.
        """
        await self._opened

    @property
    def streams(self) -> int:
        """Places that are taken."""
        return self._taken

    @property
    def limit(self) -> int:
        """Streams that may run at once."""
        return self._limit

    def open(self) -> H2ClientStream:
        """A stream, when there is `room`."""
        self._taken += 1
        return H2ClientStream(self, self, self.body_idle)

    def _place_free(self) -> None:
        if self.on_free is not None:
            self.on_free(self)

    def leave(self) -> None:
        """Begin no more streams, and close when those that run have ended."""
        self.leaving = True
        if not self._taken:
            self.close()

    def close(self) -> None:
        """Close, once what was written is sent."""
        self.leaving = True
        self.emit(goaway(0, NO_ERROR))
        self.flush()
        if self.transport is not None:
            self.transport.close()

    def eof_received(self) -> bool:
        # No response follows to what the endpoint has not read: a close that waits for the send would never end.
        self.abort()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and self._fd >= 0 and not self._broken:
            self._read_rest()
        super().connection_lost(exc)
        self.leaving = True
        self._timer.close()
        for stream in list(self._streams.values()):
            # RFC 9110 9.2.2: a reused connection that closed before any byte came may just have been stale.
            stale = stream.ident > 1 and self.read_at < stream.sent_at
            self._over(stream)
            stream.reset(GatewayError(errors.UPSTREAM_RESET, retryable=stale))
        if not self._opened.done():
            self._opened.set_exception(ConnectionResetError("The peer ended the connection before its SETTINGS"))
            self._opened.exception()  # a cancelled dial no longer awaits it: that is no error of the program
        if self.on_lost is not None:
            self.on_lost(self)

    def _read_rest(self) -> None:
        """After a failed write: take what had arrived before it, which the transport reads no more."""
        taken = 0
        while self._streams and taken < _MAX_REST:
            try:
                size = os.readv(self._fd, [self._buffers.current])
            except OSError:
                return
            if not size:
                return
            taken += size
            self.buffer_updated(size)

    # -- bytes

    def buffer_updated(self, nbytes: int) -> None:
        if self._broken:
            return
        self.read_at = monotonic()
        reader = self._reader
        frames = reader.frames
        try:
            reader.feed(self._buffers.current[:nbytes])
        except H2Error as error:
            self._break(error)
            return
        self._deliver()
        self.pump()
        if self.full and self.unsent > _MAX_UNSENT:
            self.abort()
            return
        self.took_pieces(reader.frames - frames)
        if nbytes == self._read_size:
            self.full_read()

    def _deliver(self) -> None:
        touched = self._touched
        while touched:
            stream, _ = touched.popitem()
            stream.deliver()

    def _break(self, error: H2Error) -> None:
        """Nothing that the endpoint sends has a known meaning any more. What came whole before is given on."""
        self._broken = self.leaving = True
        self.emit(goaway(0, error.code, error.details))
        self.flush()
        failure = GatewayError(errors.UPSTREAM_BAD_RESPONSE, f"The upstream broke a rule of HTTP/2: {error.details}")
        for stream in list(self._streams.values()):
            self._over(stream)
            stream.reset(failure)
        self._deliver()
        if not self._opened.done():
            self._opened.set_exception(failure)
            self._opened.exception()
        if self.transport is None:
            return
        if self.unsent:
            self.abort()
        else:
            self.transport.close()
