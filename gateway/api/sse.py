"""The live view as Server-Sent Events (WHATWG HTML 9.2): one `state` a second, `refusals` when there are new ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import Final

from gateway.admin.actor import Actor
from gateway.admin.live_feed import Frame
from gateway.admin.service import Administration

_QUIET: Final = 5.0
"""Seconds without an event after which a comment shows the client, and proxies on the path, that we are alive."""
_COMMENT: Final = b": here\n\n"


def event(name: str, data: bytes) -> bytes:
    """``data``: JSON. It holds no line break of its own, so one `data` line is enough."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), data)


async def watch(administration: Administration, actor: Actor, quiet: float = _QUIET) -> AsyncGenerator[bytes, None]:
    """Until the token of ``actor`` is no longer good or the listener closes. Raises `AdminError`, `StoreError`."""
    with administration.live_feed.subscriber() as subscriber:
        yield _COMMENT
        while not subscriber.ended:
            try:
                async with asyncio.timeout(quiet):
                    frame = await subscriber.frame()
            except TimeoutError:
                frame = None
            if subscriber.ended or not await administration.authentication.still_good(actor):
                return
            yield _COMMENT if frame is None else b"".join(_events(frame))


def _events(frame: Frame) -> Iterator[bytes]:
    yield event("state", frame.state)
    if frame.refusals:
        yield event("refusals", b'{"items":[%b]}' % b",".join(frame.refusals))
