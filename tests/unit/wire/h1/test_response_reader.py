"""The response on a connection to an endpoint."""

from __future__ import annotations

import pytest
from unit.wire.h1.stage import RESPONSE, EndpointStage, seconds_left

from gateway import errors
from gateway.core.limits import Limits
from gateway.errors import GatewayError
from gateway.wire.h1.client import BODY, BROKEN, HELD


@pytest.mark.parametrize("parts", [1, 3, 1000])
async def test_a_chunked_body(parts: int) -> None:
    stage = EndpointStage()
    done, reply = stage.send()
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n"
    size = -(-len(raw) // parts)
    for start in range(0, len(raw), size):
        assert not done.done()
        stage.transport.say(raw[start : start + size])
    await done
    assert (bytes(reply.sink.received), reply.sink.trailers) == (b"abcde", [b"X-T: 1"])


async def test_trailers_are_those_of_the_newest_response() -> None:
    stage = EndpointStage()
    done, _ = stage.send()
    stage.transport.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\ngrpc-status: 14\r\n\r\n")
    await done
    assert stage.client.trailers == [b"grpc-status: 14"]
    for response in (RESPONSE, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na", b"HTTP/1.1 204 No Content\r\n\r\n"):
        stage.client.release(True)
        done, _ = stage.send()
        stage.transport.say(response)
        if not done.done():
            stage.transport.say(b"b")
        await done
        assert stage.client.trailers == []


async def test_a_body_until_close_ends_with_the_eof_alone() -> None:
    for eof in (True, False):
        stage = EndpointStage()
        done, reply = stage.send()
        stage.transport.say(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        assert stage.client.state is BODY
        if eof:
            stage.client.eof_received()
            await done
        else:
            stage.transport.lose()
            with pytest.raises(GatewayError) as caught:
                await done
            assert caught.value.reason is errors.UPSTREAM_RESET
        assert reply.sink.complete is eof


async def test_bytes_without_a_request_break_it() -> None:
    stage = EndpointStage()
    stage.transport.say(RESPONSE)
    assert (stage.client.state, stage.transport.closing) == (BROKEN, True)
    done, _ = stage.send()
    with pytest.raises(GatewayError) as caught:
        await done
    assert caught.value.reason is errors.UPSTREAM_BAD_RESPONSE


async def test_interim_responses_are_passed_on_and_counted() -> None:
    stage = EndpointStage()
    done, reply = stage.send()
    for _ in range(2):
        stage.transport.say(b"HTTP/1.1 103 Early Hints\r\n\r\n")
    stage.transport.say(RESPONSE)
    await done
    assert [head.status for head in reply.sink.interims] == [103, 103]
    stage.client.release(request_complete=True)
    done, _ = stage.send()
    stage.transport.say(b"HTTP/1.1 103 Early Hints\r\n\r\n" * (Limits().max_interim_responses + 1))
    with pytest.raises(GatewayError, match="No final response came"):
        await done


async def test_a_slow_caller_costs_the_endpoint_no_time() -> None:
    stage = EndpointStage()
    stage.client.body_idle = 5.0
    stage.send()
    stage.transport.say(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123")
    stage.client.hold()
    assert (stage.client.state, stage.transport.reading, seconds_left(stage.client.timer)) == (HELD, False, None)
    stage.client.resume()
    assert (stage.client.state, stage.transport.reading, seconds_left(stage.client.timer)) == (BODY, True, 5)


@pytest.mark.parametrize("said", [b"SSH-2.0-x", b"HTTP/1.1 200 OK\nA: 1\n", b"HTTP/1.1 200 OK\r\nA: " + b"a" * 70000])
async def test_what_can_no_longer_become_a_head_is_not_waited_for(said: bytes) -> None:
    stage = EndpointStage()
    done, _ = stage.send()
    stage.transport.say(said)
    with pytest.raises(GatewayError) as caught:
        await done
    assert caught.value.reason is errors.UPSTREAM_BAD_RESPONSE
