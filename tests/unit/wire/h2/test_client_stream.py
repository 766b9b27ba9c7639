"""One request on its stream: what is sent, what is given on and when, and how it ends."""

from __future__ import annotations

from time import monotonic

import pytest
from harness.frames import block
from harness.scripted import HeldSource
from unit.wire.h2.client_stage import OK, UpstreamStage, outgoing

from gateway import errors
from gateway.core.limits import Limits
from gateway.core.message import CHUNKED
from gateway.errors import GatewayError
from gateway.wire.h2.codes import CANCEL, DATA, HEADERS, RST_STREAM
from gateway.wire.h2.frames import frame


async def test_a_request_without_a_body_is_one_frame() -> None:
    stage = UpstreamStage()
    request = outgoing(fields=b"X-A: 1\r\nCookie: a=1; b=2\r\n", trailers=True)
    asking = stage.ask(request)
    (head,) = stage.frames()
    assert (head.kind, head.ident, head.ended) == (HEADERS, 1, True)
    assert stage.reader.fields(head) == {
        b":method": b"GET",
        b":scheme": b"http",
        b":authority": b"up.test",
        b":path": b"/a",
        b"x-a": b"1",
        b"cookie": b"a=1; b=2",
        b"te": b"trailers",
    }
    assert request.block is not None
    stage.head(asking, ended=True)
    assert asking.done.done()
    stage.close()


async def test_a_body_that_is_complete_goes_with_its_head() -> None:
    stage = UpstreamStage()
    stage.ask(outgoing(b"POST", 3), b"abc")
    head, data = stage.frames()
    assert (head.ended, data.kind, data.payload, data.ended) == (False, DATA, b"abc", True)
    stage.client.on_lost = None
    stage.close()


async def test_trailers_that_a_configured_field_replaces_are_not_sent() -> None:
    stage = UpstreamStage()
    asking = stage.ask(outgoing(b"POST", CHUNKED, replaced=frozenset({b"x-key"})))
    asking.stream.begin_body(HeldSource(), CHUNKED)
    asking.stream.end([b"X-Key: mine", b"X-Sum: 1"])
    head, trailers = stage.frames()
    stage.reader.fields(head)
    assert stage.reader.fields(trailers) == {b"x-sum": b"1"}
    assert trailers.ended
    stage.close()


async def test_an_error_of_the_exchange_resets_the_stream() -> None:
    stage = UpstreamStage()
    asking = stage.upload()
    stage.frames()
    asking.stream.fail(GatewayError(errors.CLIENT_TIMEOUT))
    (reset,) = stage.frames()
    assert (reset.kind, reset.number) == (RST_STREAM, CANCEL)
    assert isinstance(asking.error, GatewayError)
    assert asking.error.reason is errors.CLIENT_TIMEOUT
    asking.stream.abandon(0.0)
    assert stage.frames() == []
    stage.close()


async def test_a_release_stops_what_was_not_uploaded() -> None:
    stage = UpstreamStage()
    asking = stage.upload()
    stage.head(asking, ended=True)
    assert (asking.error, stage.client.streams) == (None, 1)
    stage.frames()
    asking.stream.release(False)
    assert [(f.kind, f.number) for f in stage.frames()] == [(RST_STREAM, CANCEL)]
    assert stage.client.streams == 0
    stage.close()


async def test_what_is_abandoned_says_when() -> None:
    stage = UpstreamStage()
    seconds: list[float] = []
    stage.client.on_abandoned = seconds.append
    asking = stage.ask()
    asking.stream.abandon(monotonic() - 5)
    assert seconds == [pytest.approx(5, abs=1)]
    assert stage.client.streams == 0
    stage.say(frame(HEADERS, 4, 1, block(OK)), frame(DATA, 1, 1, b"late"))
    assert stage.transport.closing is False
    stage.close()


async def test_a_place_that_is_given_back_unused() -> None:
    stage = UpstreamStage()
    stream = stage.client.open()
    assert stage.client.streams == 1
    stream.abandon(0.0)
    stream.release(True)
    assert (stage.client.streams, stage.frames()) == (0, [])
    stage.close()


async def test_a_connection_that_has_closed_before_the_request() -> None:
    stage = UpstreamStage()
    stream = stage.client.open()
    stage.close()
    done = stream.send(outgoing(), b"", b"", None, Limits())  # type: ignore[arg-type]
    error = done.exception()
    assert isinstance(error, GatewayError)
    assert (error.reason, error.unprocessed) == (errors.UPSTREAM_RESET, True)
    stream.abandon(0.0)
    assert stage.client.streams == 0
