from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from unit.scene import Nobody

from gateway.core.exchange import Exchange
from gateway.core.message import CHUNKED, RequestHead, ResponseHead
from gateway.core.stream import BodySink
from gateway.errors import CLIENT_TIMEOUT, GatewayError
from gateway.proxy.rewrite_body import MOST_BYTES, is_possible, rewrite_of

BODY = b'{"model": "large", "n": 1.0}'
CHANGED = b'{"model": "small", "n": 1.0}'
MEMBERS = (("model", "small"),)


class Caller(Nobody):
    """Its body comes when it is asked for, in ``pieces``, or fails."""

    def __init__(self, *pieces: bytes, there: bool = False, fails: bool = False, expects: bool = False) -> None:
        super().__init__()
        self.pieces, self.there, self.fails, self.awaits_continue = pieces, there, fails, expects
        self.interims: list[int] = []
        self.stopped = False

    def take_body(self) -> bytes | None:
        return b"".join(self.pieces) if self.there else None

    def interim(self, head: ResponseHead) -> None:
        self.interims.append(head.status)

    def pipe(self, sink: BodySink, on_end: Callable[[], None]) -> None:
        sink.begin_body(self, -1)  # type: ignore[arg-type] # no stream
        assert (sink.full, sink.body_idle) == (False, 0.0)
        sink.data(memoryview(self.pieces[0]), pooled=True)
        sink.pieces([memoryview(piece) for piece in self.pieces[1:]], pooled=True)
        if self.fails:
            sink.fail(GatewayError(CLIENT_TIMEOUT))
            return
        sink.end([])
        on_end()

    def stop_body(self) -> None:
        self.stopped = True


def exchange(body: bytes = BODY, caller: Caller | None = None, *lines: bytes, length: int | None = None) -> Exchange:
    fields = [b"Host: h", b"content-length: %d" % len(body), *lines]
    known = {b"host": b"h", b"content-length": b"%d" % len(body)}
    head = RequestHead(b"POST", b"/x", 1, fields, known, len(body) if length is None else length, True, [b"Via: a"])
    ex = Exchange(caller or Nobody(), head, 0.0)  # type: ignore[arg-type] # no stream
    ex.body = body if caller is None else None
    return ex


async def rewritten(ex: Exchange, members: tuple[tuple[str, str], ...] = MEMBERS) -> Exchange:
    rewrite = rewrite_of(members)
    assert rewrite is not None
    await rewrite(ex)
    return ex


def test_nothing_to_change() -> None:
    assert rewrite_of(()) is None


async def test_the_head_says_the_new_length_and_is_another_one() -> None:
    ex = exchange(BODY, None, b"Content-Digest: sha-256=:x:", b"Content-MD5: x", b"X-A: b")
    before = ex.request
    await rewritten(ex, (("model", "much smaller"),))
    assert ex.body is not None
    assert json.loads(ex.body) == {"model": "much smaller", "n": 1.0}
    head = ex.request
    assert head.fields == [b"Host: h", b"Content-Length: %d" % len(ex.body), b"X-A: b"]
    assert (head.known[b"content-length"], head.length) == (b"%d" % len(ex.body), len(ex.body))
    assert (head.method, head.target, head.minor, head.keep_alive, head.claims) == (
        b"POST",
        b"/x",
        1,
        True,
        [b"Via: a"],
    )
    assert before.length == len(BODY), "equal heads are shared"
    assert before.fields[1] == b"content-length: %d" % len(BODY)


@pytest.mark.parametrize("body", [b"no json", b'["model"]', b"\x1f\x8b\x08"])
async def test_what_is_no_object_goes_as_it_is(body: bytes) -> None:
    ex = exchange(body)
    before = ex.request
    await rewritten(ex)
    assert (ex.body, ex.request) == (body, before)


async def test_a_request_without_a_body_has_nothing_to_change() -> None:
    ex = exchange(b"")
    ex.body = None
    assert (await rewritten(ex)).body is None


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("expects", [True, False])
async def test_a_body_of_which_nothing_was_taken_is_collected(there: bool, expects: bool) -> None:
    caller = Caller(BODY[:5], BODY[5:9], BODY[9:], there=there, expects=expects)
    ex = await rewritten(exchange(BODY, caller))
    assert ex.body == CHANGED
    assert caller.interims == ([100] if expects and not there else [])
    assert not caller.stopped


async def test_a_body_that_does_not_come_ends_it() -> None:
    caller = Caller(BODY[:5], fails=True)
    with pytest.raises(GatewayError) as caught:
        await rewritten(exchange(BODY, caller))
    assert caught.value.reason is CLIENT_TIMEOUT
    assert caller.stopped


async def test_a_caller_that_leaves_meanwhile() -> None:
    class Slow(Caller):
        sink: Any = None

        def pipe(self, sink: BodySink, on_end: Callable[[], None]) -> None:
            self.sink, self.on_end = sink, on_end

    caller = Slow(b"")
    task = asyncio.create_task(rewritten(exchange(BODY, caller)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert caller.stopped
    caller.sink.fail(GatewayError(CLIENT_TIMEOUT))
    caller.on_end()


def test_what_can_be_rewritten() -> None:
    assert is_possible(exchange())
    assert is_possible(exchange(caller=Caller(BODY)))
    assert is_possible(exchange(caller=Caller(BODY), length=0))
    assert is_possible(exchange(caller=Caller(BODY), length=MOST_BYTES))
    assert not is_possible(exchange(caller=Caller(BODY), length=MOST_BYTES + 1))
    assert not is_possible(exchange(caller=Caller(BODY), length=CHUNKED))
