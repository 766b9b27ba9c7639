"""A strict reader of HTTP/1.1 messages (RFC 9112), written apart from the gateway's own.

It is stricter than any real peer: every byte that the gateway emits has to be the plainest HTTP there is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from harness.stream import Stream

FIELD_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")
REQUEST_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [\x21-\x7e]+ HTTP/1\.[01]")
STATUS_LINE = re.compile(rb"HTTP/1\.[01] [1-5][0-9][0-9] [\t\x20-\x7e\x80-\xff]*")
CHUNK_LINE = re.compile(rb"[0-9A-Fa-f]{1,16}")


class Truncated(Exception):  # noqa: N818 - it names what happened to the message
    """The connection ended inside a message; ``message`` holds what came, ``ended`` how (``eof``, ``reset``)."""

    def __init__(self, message: Message, ended: str) -> None:
        super().__init__(ended, message)
        self.message = message
        self.ended = ended


@dataclass
class Message:
    """A request or a response. ``lines`` and ``trailers`` are the field lines as they stood on the wire."""

    start: bytes = b""
    lines: list[bytes] = field(default_factory=list)
    body: bytes = b""
    trailers: list[bytes] = field(default_factory=list)
    framing: str = ""
    """``none``, ``length``, ``chunked`` or ``close``."""

    @property
    def status(self) -> int:
        return int(self.start.split(b" ")[1])

    @property
    def method(self) -> bytes:
        return self.start.split(b" ")[0]

    @property
    def target(self) -> bytes:
        return self.start.split(b" ")[1]

    def all(self, name: str) -> list[bytes]:
        """Values of every field line of that name, without the white space around them."""
        wanted = name.lower().encode()
        pairs = (line.split(b":", 1) for line in self.lines)
        return [value.strip(b" \t") for key, value in pairs if key.lower() == wanted]

    def get(self, name: str) -> bytes | None:
        """The value of a field that must not be there twice; None without it."""
        values = self.all(name)
        assert len(values) < 2, f"{name} stands {len(values)} times: {self.lines}"
        return values[0] if values else None

    def options(self, name: str) -> set[bytes]:
        """The members of a comma-separated field, lower-case."""
        joined = b",".join(self.all(name))
        return {member.strip().lower() for member in joined.split(b",") if member.strip()}


async def read_head(stream: Stream, start: re.Pattern[bytes]) -> Message:
    """A start line and its field lines, every byte checked; Truncated when the connection ends before that."""
    raw = await stream.until(b"\r\n\r\n")
    if not raw.endswith(b"\r\n\r\n"):
        raise Truncated(Message(start=raw), stream.ended)
    first, *lines = raw[:-4].split(b"\r\n")
    assert start.fullmatch(first), f"bad start line {first!r}"
    for line in lines:
        assert FIELD_LINE.fullmatch(line), f"bad field line {line!r}"
    return Message(first, lines)


async def read_body(stream: Stream, message: Message, default: str) -> Message:
    """The body as its framing fields say; ``default`` is the framing without any: ``none`` or ``close``."""
    length, coding = message.get("content-length"), message.get("transfer-encoding")
    assert length is None or coding is None, f"both framings at once: {message.lines}"
    if coding is not None:
        assert coding.lower() == b"chunked"
        return await read_chunks(stream, message)
    if length is not None:
        return await read_length(stream, message, int(length))
    message.framing = default
    if default == "close":
        message.body = await stream.rest()
        if stream.ended == "reset":
            raise Truncated(message, stream.ended)
    return message


async def read_length(stream: Stream, message: Message, length: int) -> Message:
    message.framing = "length"
    message.body = await stream.exactly(length)
    if len(message.body) < length:
        raise Truncated(message, stream.ended)
    return message


async def read_chunks(stream: Stream, message: Message) -> Message:
    message.framing = "chunked"
    parts: list[bytes] = []
    while size := await read_chunk_size(stream, message):
        part = await stream.exactly(size + 2)
        parts.append(part[:size])
        message.body = b"".join(parts) if len(part) < size + 2 else b""
        if len(part) < size + 2:
            raise Truncated(message, stream.ended)
        assert part.endswith(b"\r\n"), f"no CRLF after chunk: {part[-20:]!r}"
    message.body = b"".join(parts)
    while (line := await read_line(stream, message)) != b"":
        assert FIELD_LINE.fullmatch(line), f"bad trailer {line!r}"
        message.trailers.append(line)
    return message


async def read_chunk_size(stream: Stream, message: Message) -> int:
    line = await read_line(stream, message)
    assert CHUNK_LINE.fullmatch(line), f"bad chunk size {line!r}"
    return int(line, 16)


async def read_line(stream: Stream, message: Message) -> bytes:
    line = await stream.until(b"\r\n")
    if not line.endswith(b"\r\n"):
        raise Truncated(message, stream.ended)
    return line[:-2]


async def read_request(stream: Stream) -> Message:
    """A whole request (RFC 9112 section 6.3: without framing fields it has no body)."""
    return await read_body(stream, await read_head(stream, REQUEST_LINE), "none")


async def read_response(stream: Stream, method: str = "GET") -> Message:
    """One response, interim ones included; ``method`` decides whether it may have a body (RFC 9112 section 6.3)."""
    message = await read_head(stream, STATUS_LINE)
    if method == "HEAD" or message.status in (204, 304) or message.status < 200:
        message.framing = "none"
        assert message.status >= 200 or not message.all("content-length") + message.all("transfer-encoding")
        assert message.status != 204 or not message.all("content-length") + message.all("transfer-encoding")
        return message
    return await read_body(stream, message, "close")
