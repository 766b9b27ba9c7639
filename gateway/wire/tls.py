"""TLS between a TCP transport and a `Link`: the protocol of the one, the transport of the other.

The event loop has TLS transports of its own. They do not fit a relay, because

- they do not report what the TCP transport below holds, and pause late: a sink holds more than one read;
- at the FIN they drop what they have read and not yet delivered: the end of a response that came faster than it was
  relayed is lost;
- after a failed write they deliver nothing that has arrived: an early response is lost.

Here bytes are encrypted and given to the kernel within the call that writes them, and `pause_writing` of the TCP
transport is passed up at once, with the same meaning as without TLS. What was read is delivered before the end is.

RFC 8446 6.1: only close_notify ends the peer's bytes. `eof_received` of the connection above is called for it alone,
and not for a FIN, which anyone on the way can forge.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import Callable
from typing import cast

from gateway.wire.buffers import BUFFER_SIZE, BufferPool
from gateway.wire.link import Link
from gateway.wire.loop_types import as_protocol, as_transport

_MAX_REST = 262144
"""Bytes that are still taken from the kernel after a failed write."""


class TlsLayer:
    """One side of TLS on one connection; `tls_client` and `tls_server` have what differs between the two.

    `connection_made` of the connection above is called when the handshake is complete, and never when it fails.
    """

    __slots__ = (
        "_above",
        "_buffers",
        "_context",
        "_encrypt",
        "_fd",
        "_finished",
        "_incoming",
        "_last_words",
        "_made",
        "_open",
        "_outgoing",
        "_owes_end",
        "_paused",
        "_peer_ended",
        "_read_into",
        "_reads_on",
        "_tcp",
        "_tls",
        "loop",
    )

    _tcp: asyncio.Transport | None
    _above: Link
    """The connection above; the server's side makes it at the end of the handshake."""
    _tls: ssl.SSLObject
    _context: ssl.SSLContext
    _encrypt: Callable[[bytes | memoryview], int]
    _read_into: Callable[[int, memoryview], int]

    def __init__(self, loop: asyncio.AbstractEventLoop, buffers: BufferPool) -> None:
        self.loop = loop
        self._buffers = buffers
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tcp = None
        self._fd = -1
        self._made = False
        """The handshake is complete: the connection above exists."""
        self._open = False
        """The handshake is complete, and no end of both directions has been seen or requested."""
        self._finished = False
        """The connection above writes nothing any more."""
        self._owes_end = False
        """Our close_notify waits until all that has come is delivered: OpenSSL breaks off when it meets more."""
        self._peer_ended = False
        """The peer has sent close_notify, and the connection above still writes."""
        self._paused = False
        """The connection above reads nothing for now."""
        self._reads_on = False
        """A call of `_read_on` is due."""
        self._last_words = False
        """The bytes that come are the last. They are delivered even if the connection above has paused reading."""

    @property
    def protocol(self) -> asyncio.BaseProtocol:
        """Itself, as the types of event loops want it."""
        return as_protocol(self)

    def _use(self, context: ssl.SSLContext, tls: ssl.SSLObject) -> None:
        """``tls``: made of ``context``, `_incoming` and `_outgoing`."""
        self._context = context
        self._tls = tls
        self._read_into = cast("Callable[[int, memoryview], int]", tls.read)
        self._encrypt = tls.write

    def _begin(self) -> None:
        """The TCP connection is open."""
        raise NotImplementedError

    def _established(self) -> None:
        """The handshake is complete: what is above is ready for `connection_made`."""
        raise NotImplementedError

    def _failed(self, error: Exception) -> None:
        """The handshake failed with ``error``, or the connection ended during it."""
        raise NotImplementedError

    def _broken(self, error: ssl.SSLError) -> None:
        """The peer sent an alert, or what is not TLS, after the handshake."""

    # -- the protocol of the TCP transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._tcp = tcp = as_transport(transport)
        if transport.get_extra_info("sslcontext") is None:
            tcp.set_write_buffer_limits(high=0)
            raw = transport.get_extra_info("socket")
            self._fd = raw.fileno() if raw is not None else -1
        else:  # a tunnel through a forward proxy that is itself spoken to over TLS
            tcp.set_write_buffer_limits(high=1)
        self._begin()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffers.current

    def buffer_updated(self, nbytes: int) -> None:
        if self._peer_ended:  # RFC 8446 6.1: what follows close_notify is ignored
            return
        self._incoming.write(self._buffers.current[:nbytes])
        if self._open:
            self._deliver()
        elif not self._made:
            self._shake_hands()

    def eof_received(self) -> bool:
        return self._peer_ended

    def connection_lost(self, exc: Exception | None) -> None:
        if self._open and exc is not None:
            self._read_rest()
        self._open = False
        self._tcp = None
        if self._made:
            self._above.connection_lost(exc)
        else:
            self._failed(exc or ConnectionResetError("The peer ended the connection during the handshake"))

    def pause_writing(self) -> None:
        if self._made:
            self._above.pause_writing()

    def resume_writing(self) -> None:
        if self._made:
            self._above.resume_writing()

    # -- the transport of the connection above

    def write(self, data: bytes | memoryview) -> None:
        if not self._open or self._finished:
            return
        try:
            written = self._encrypt(data)
            while written < len(data):  # one record at a time
                data = memoryview(data)[written:]
                written = self._encrypt(data)
        except ssl.SSLError:
            self.abort()
            return
        self._flush()

    def writelines(self, pieces: list[bytes | memoryview]) -> None:
        self.write(b"".join(pieces))

    def get_write_buffer_size(self) -> int:
        """Bytes that the kernel has not taken."""
        return self._tcp.get_write_buffer_size() if self._tcp is not None else 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """What the kernel does not take at once pauses: nothing to set."""

    def get_extra_info(self, name: str, default: object = None) -> object:
        if name == "sslcontext":
            return self._context
        if name == "ssl_object":
            return self._tls
        return self._tcp.get_extra_info(name, default) if self._tcp is not None else default

    def is_closing(self) -> bool:
        return not self._open

    def pause_reading(self) -> None:
        self._paused = not self._last_words
        if self._paused and self._tcp is not None:
            self._tcp.pause_reading()

    def resume_reading(self) -> None:
        self._paused = False
        # What has been read comes first. The TCP transport reads on after it, so that no FIN overtakes it.
        if not self._reads_on:
            self._reads_on = True
            self.loop.call_soon(self._read_on)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Send close_notify behind all that was written; what the peer sends is still delivered (RFC 8446 6.1)."""
        if self._open and not self._finished:
            self._finished = self._owes_end = True
            self._pay_end()

    def close(self) -> None:
        """Send close_notify and what is unsent, then close; the peer's close_notify is not awaited (RFC 8446 6.1)."""
        if self._open and (self._owes_end or not self._finished):
            self._say_goodbye()
        self._open = False
        if self._tcp is not None:
            self._tcp.close()

    def abort(self) -> None:
        """Close at once and drop what is not sent; without close_notify, so that nothing passes for complete."""
        self._open = False
        if self._tcp is not None:
            self._tcp.abort()

    # -- inside

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError as error:
            self._flush()  # the alert
            self._failed(error)
            if self._tcp is not None:
                self._tcp.close()  # and no abort, whose reset could overtake the alert
        else:
            self._flush()
            self._established()
            self._made = self._open = True
            self._above.connection_made(as_transport(self))
            if self.get_write_buffer_size():  # the TCP transport has paused already, and does not do so again
                self._above.pause_writing()
            self._deliver()

    def _flush(self) -> None:
        data, tcp = self._outgoing.read(), self._tcp
        if not data or tcp is None:
            return
        if self._fd >= 0 and not tcp.get_write_buffer_size():
            try:  # noqa: SIM105 - a context costs more than the write of a small record
                data = data[os.write(self._fd, data) :]
            except OSError:
                pass  # the transport meets the same error and handles it
        if data:
            tcp.write(data)

    def _deliver(self) -> None:
        """Give the connection above what can be decrypted, as much at a time as one read brings without TLS."""
        more = True
        while more and self._open and not self._paused and not self._peer_ended:
            got, more = self._decrypt(self._above.get_buffer(BUFFER_SIZE))
            if got:
                self._above.buffer_updated(got)
        if self._owes_end:
            self._pay_end()
        if self._outgoing.pending:
            self._flush()

    def _pay_end(self) -> None:
        if self._open and not self._incoming.pending and not self._tls.pending():
            self._owes_end = False
            self._say_goodbye()

    def _decrypt(self, room: memoryview) -> tuple[int, bool]:
        """(bytes that were put into ``room``, whether there is more)."""
        got, most = 0, len(room)
        try:
            while got < most:
                size = self._read_into(most - got, room[got:] if got else room)
                if not size:
                    self._end(got)
                    return 0, False
                got += size
                # A read takes from one record. When it was not filled, nothing of that record is left.
                if got < most and not self._incoming.pending:
                    return got, False
        except ssl.SSLWantReadError:
            return got, False
        except ssl.SSLZeroReturnError:  # instead of 0 bytes, when we have sent ours
            self._end(got)
            return 0, False
        except ssl.SSLError as error:
            self._broken(error)
            self._end(got, broken=True)
            return 0, False
        return got, True

    def _end(self, got: int, *, broken: bool = False) -> None:
        """The peer sent close_notify, or something that is not TLS; ``got`` bytes came before."""
        if got:
            self._above.buffer_updated(got)
        if broken or not self._open:
            self.abort()
            return
        if self._above.eof_received():
            self._peer_ended = True
        else:
            self.close()

    def _read_on(self) -> None:
        self._reads_on = False
        if self._paused or not self._open:
            return
        self._deliver()
        if self._open and not self._paused and self._tcp is not None:
            self._tcp.resume_reading()

    def _read_rest(self) -> None:
        """After a failed write: deliver what had arrived before, which the TCP transport reads no more."""
        self._last_words = True
        self._paused = False
        self._deliver()
        taken = 0
        while self._open and self._fd >= 0 and taken < _MAX_REST:
            try:
                size = os.readv(self._fd, [self._buffers.current])
            except OSError:
                return
            if not size:
                return
            taken += size
            self.buffer_updated(size)

    def _say_goodbye(self) -> None:
        with contextlib.suppress(ssl.SSLError):  # SSLWantReadError above all: the peer has not sent close_notify yet
            self._tls.unwrap()
        self._flush()
