"""The life of a connection to an endpoint, and its requests, on a link without a socket."""

from __future__ import annotations

import pytest
from harness.scripted import HeldSource
from unit.wire.h1.stage import RESPONSE, EndpointStage

from gateway.core.message import CHUNKED, OutgoingRequest
from gateway.errors import GatewayError
from gateway.wire.h1.client import BROKEN, DONE, HEAD, IDLE


async def test_a_request_is_one_write_and_its_response_leads_back_to_idle() -> None:
    stage = EndpointStage()
    assert stage.client.state is IDLE
    for number in (1, 2):
        done, reply = stage.send(b"body")
        assert stage.client.state is HEAD
        assert stage.transport.taken == b"GET / HTTP/1.1\r\nHost: up:1\r\nA: 1\r\nB: 2\r\n\r\nbody" * number
        stage.transport.say(RESPONSE)
        assert stage.client.state is DONE
        await done
        assert (bytes(reply.sink.received), reply.sink.complete) == (b"ok", True)
        stage.client.release(request_complete=True)
        assert stage.client.state is IDLE
    assert stage.idle == [stage.client] * 2


@pytest.mark.parametrize(
    ("response", "complete"),
    [
        (RESPONSE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), True),
        (RESPONSE + b"more", True),
        (RESPONSE, False),
    ],
    ids=["close", "bytes behind the end", "request not used up"],
)
async def test_what_does_not_lead_back_to_idle(response: bytes, complete: bool) -> None:
    stage = EndpointStage()
    done, _ = stage.send()
    stage.transport.say(response)
    await done
    stage.client.release(complete)
    assert (stage.client.state, stage.idle, stage.transport.closing) == (BROKEN, [], True)


async def test_only_a_silent_reused_connection_may_have_been_stale() -> None:
    for said, stale in ((b"", True), (b"HTTP/1.1 103 E\r\n\r\n", False), (b"HTTP/1.1 2", False)):
        stage = EndpointStage()
        done, _ = stage.send()
        stage.transport.say(RESPONSE)
        await done
        stage.client.release(request_complete=True)
        done, _ = stage.send()
        if said:
            stage.transport.say(said)
        stage.transport.lose()
        with pytest.raises(GatewayError) as caught:
            await done
        assert caught.value.retryable is stale, said


async def test_an_upload_holds_its_source_and_bounds_the_stall() -> None:
    request = OutgoingRequest(
        b"POST", b"/", b"up:1", b"", CHUNKED, takes_trailers=False, replaced=frozenset({b"x-key"})
    )
    stage = EndpointStage(request)
    stage.client.body_idle = 5.0
    stage.send()
    source = HeldSource()
    stage.client.begin_body(source, CHUNKED)
    stage.transport.stop()
    assert not stage.client.timer.expires_at
    stage.client.data(memoryview(b"abc"), pooled=False)
    assert source.held
    assert stage.client.timer.expires_at, "the endpoint takes nothing: that has a bound"
    stage.transport.take()
    assert not source.held
    assert not stage.client.timer.expires_at
    stage.client.end([b"X-Key: mine", b"X-Sum: 1"])
    assert stage.transport.taken.endswith(b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"), "a replaced field is no trailer either"


async def test_abandoning_closes_the_connection() -> None:
    stage = EndpointStage()
    stage.send()
    stage.client.abandon(12.5)
    assert (stage.client.abandoned_at, stage.transport.lost) == (12.5, True)
