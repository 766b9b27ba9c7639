"""Gives the upstream of a fallback a request in which another model is named.

The body is needed as a whole for it. Where nothing was taken of it yet, as behind an open breaker, it is collected.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from gateway.core.exchange import Exchange
from gateway.core.message import RequestHead
from gateway.proxy.collect import collected
from gateway.proxy.json_member import with_member

MOST_BYTES: Final = 1_048_576
"""Of a body that is collected."""
_LENGTH: Final = b"content-length"
_DIGESTS: Final = (b"content-digest", b"content-md5", b"digest", b"repr-digest")
"""Fields that speak of the bytes of the body (RFC 9530, RFC 1864)."""

BodyRewrite = Callable[[Exchange], Awaitable[None]]


def rewrite_of(members: tuple[tuple[str, str], ...]) -> BodyRewrite | None:
    """What puts ``members``, names and texts, into the JSON object that is the body of a request; None: there are none.

    A body that is no JSON object, or is compressed, stays as it is. Raises `GatewayError` when a body does not come.
    """
    if not members:
        return None

    async def rewrite(ex: Exchange) -> None:
        if not ex.request.length:
            return
        if ex.body is None:
            ex.body = await collected(ex, MOST_BYTES)
        body: bytes | None = ex.body
        for name, value in members:
            body = with_member(body, name, value) if body is not None else None
        if body is not None:
            ex.body = body
            ex.request = _having_length(ex.request, len(body))

    return rewrite


def is_possible(ex: Exchange) -> bool:
    """The body is there, or can be collected: its length is known, and not too much."""
    return ex.body is not None or 0 <= ex.request.length <= MOST_BYTES


def bytes_to_collect(ex: Exchange) -> int:
    """How many bytes of the body are yet to come into memory; 0: none."""
    return 0 if ex.body is not None else max(0, ex.request.length)


def _having_length(head: RequestHead, length: int) -> RequestHead:
    """The head of a body that is so long now; fields that describe the bytes of the former one are left out."""
    lines = [b"Content-Length: %d" % length if _name(line) == _LENGTH else line for line in head.fields]
    kept = [line for line in lines if _name(line) not in _DIGESTS]
    known = {**head.known, _LENGTH: b"%d" % length}
    return RequestHead(head.method, head.target, head.minor, kept, known, length, head.keep_alive, head.claims)


def _name(line: bytes) -> bytes:
    return line[: line.find(b":")].lower()
