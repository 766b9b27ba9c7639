"""Ready-made behaviours of an upstream, and the bytes of answers."""

from __future__ import annotations

from collections.abc import Callable

from harness.message import Message
from harness.upstream import Behaviour, Link

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def answer(body: bytes = b"", *lines: str, status: int = 200, reason: str = "OK") -> bytes:
    """A whole answer with a Content-Length."""
    head = [f"HTTP/1.1 {status} {reason}", *lines, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(head).encode("latin-1") + body


def head(*lines: str, status: str = "200 OK") -> bytes:
    """A head with exactly these field lines."""
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode("latin-1")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"


def each_request(reply: Callable[[Message], bytes]) -> Behaviour:
    """Keep-alive: read requests whole, one after the other, and answer each with what ``reply`` makes of it."""

    async def serve(link: Link) -> None:
        while True:
            await link.send(reply(await link.request()))

    return serve


def ok() -> Behaviour:
    return each_request(lambda _: OK)


def json_answer(body: bytes = b'{"ok":true}') -> Behaviour:
    return each_request(lambda _: answer(body, "Content-Type: application/json"))


def echo() -> Behaviour:
    """The request's body comes back, with its target in ``X-Target``."""
    return each_request(lambda message: answer(message.body, f"X-Target: {message.target.decode()}"))


def status_on_demand() -> Behaviour:
    """``/status/503`` is answered 503."""

    def reply(message: Message) -> bytes:
        return answer(b"", status=int(message.target.rsplit(b"/", 1)[1]), reason="On Demand")

    return each_request(reply)


def once(raw: bytes) -> Behaviour:
    """Read one request, send these bytes, close."""

    async def serve(link: Link) -> None:
        await link.request()
        await link.send(raw)

    return serve


def hang() -> Behaviour:
    """Read the request and never answer; ends when the gateway leaves."""

    async def serve(link: Link) -> None:
        await link.request()
        await link.gone(within=30)

    return serve
