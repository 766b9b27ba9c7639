"""The text of requests of HTTP/1.1, as a test sends it piece by piece, to what their streams of HTTP/2 carry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

CHUNKED = -1
NOT_IN_HTTP_2 = {b"connection", b"keep-alive", b"proxy-connection", b"upgrade", b"http2-settings"}


@dataclass
class Part:
    """A header block, or bytes of a body."""

    ident: int
    method: bytes = b""
    fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    payload: bytes = b""
    ended: bool = False


class Requests:
    """Streams are numbered 1, 3, 5 and so on. Text that is no request of HTTP/2 is an error of the test."""

    def __init__(self) -> None:
        self._text = bytearray()
        self.ident = -1
        """Of the stream that began last."""
        self._left = 0
        """Bytes to come of the body that is sent, or `CHUNKED`; 0: a head comes next."""

    def feed(self, text: bytes) -> Iterator[Part]:
        self._text += text
        while (part := self._next()) is not None:
            yield part

    def _next(self) -> Part | None:
        if self._left == CHUNKED:
            return self._chunk()
        if not self._left:
            head = self._take_to(b"\r\n\r\n")
            return None if head is None else self._begin(head.split(b"\r\n"))
        piece = self._take(self._left)
        if not piece:
            return None
        self._left -= len(piece)
        return Part(self.ident, payload=piece, ended=not self._left)

    def _begin(self, lines: list[bytes]) -> Part:
        method, target, version = lines[0].split(b" ")
        assert version == b"HTTP/1.1", f"{lines[0]!r} is none of HTTP/2: mark the test http1"
        pairs = [(name.lower(), value.strip(b" \t")) for name, _, value in (line.partition(b":") for line in lines[1:])]
        names = {name for name, _ in pairs}
        assert not names & NOT_IN_HTTP_2, f"{names & NOT_IN_HTTP_2} is none of HTTP/2: mark the test http1"
        values = dict(pairs)
        self._left = CHUNKED if b"transfer-encoding" in names else int(values.get(b"content-length", b"0"))
        self.ident += 2
        fields = [(b":method", method), (b":scheme", b"https"), (b":authority", values[b"host"]), (b":path", target)]
        fields += [pair for pair in pairs if pair[0] not in (b"host", b"transfer-encoding")]
        return Part(self.ident, method, fields, ended=not self._left)

    def _chunk(self) -> Part | None:
        at = self._text.find(b"\r\n")
        if at < 0:
            return None
        size = int(self._text[:at].split(b";")[0], 16)
        if not size:
            return self._last_chunk()
        if len(self._text) < at + size + 4:
            return None
        self._take(at + 2)
        payload = self._take(size)
        self._take(2)
        return Part(self.ident, payload=payload)

    def _last_chunk(self) -> Part | None:
        rest = self._take_to(b"\r\n\r\n")
        if rest is None:
            return None
        self._left = 0
        lines = [line.partition(b":") for line in rest.split(b"\r\n")[1:]]
        return Part(self.ident, fields=[(name.lower(), value.strip()) for name, _, value in lines], ended=True)

    def _take(self, size: int) -> bytes:
        taken = bytes(self._text[:size])
        del self._text[:size]
        return taken

    def _take_to(self, end: bytes) -> bytes | None:
        """What stands before ``end``; None when that has not come."""
        at = self._text.find(end)
        return None if at < 0 else self._take(at + len(end))[: -len(end)]
