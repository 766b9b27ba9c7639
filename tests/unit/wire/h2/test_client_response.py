"""What is given on of a response, and when; and what ends it."""

from __future__ import annotations

from time import monotonic

from harness.frames import block
from unit.wire.h2.client_stage import OK, UpstreamStage

from gateway import errors
from gateway.errors import GatewayError
from gateway.wire.h2.client_states import ClientState
from gateway.wire.h2.codes import CANCEL, DATA, HEADERS, PROTOCOL_ERROR, REFUSED_STREAM, RST_STREAM, WINDOW_UPDATE
from gateway.wire.h2.frames import frame, rst_stream


async def test_a_response_that_comes_in_one_read_is_given_on_whole() -> None:
    stage = UpstreamStage()
    asking = stage.ask()
    stage.say(frame(HEADERS, 4, 1, block(OK)), frame(DATA, 0, 1, b"ab"), frame(DATA, 1, 1, b"c"))
    assert (bytes(asking.reply.sink.received), asking.reply.sink.complete) == (b"abc", True)
    assert asking.error is None
    assert asking.stream.first_byte_at > 0
    assert stage.client.streams == 0
    stage.close()


async def test_a_response_is_given_on_as_it_comes() -> None:
    stage = UpstreamStage()
    asking = stage.ask()
    stage.head(asking)
    assert asking.reply.sink.status == 200
    stage.data(asking, b"ab")
    assert bytes(asking.reply.sink.received) == b"ab"
    stage.data(asking, b"", ended=True)
    assert asking.reply.sink.complete
    stage.close()


async def test_a_reset_in_the_read_of_the_head_leaves_nothing_committed() -> None:
    stage = UpstreamStage()
    asking = stage.ask()
    stage.say(frame(HEADERS, 4, 1, block(OK)), frame(DATA, 0, 1, b"ab"), rst_stream(1, CANCEL))
    assert asking.reply.sink.status == 0
    assert isinstance(asking.error, GatewayError)
    assert asking.error.reason is errors.UPSTREAM_RESET
    stage.close()


async def test_credit_is_given_back_when_the_sink_has_taken_the_bytes() -> None:
    stage = UpstreamStage()
    asking = stage.ask()
    stage.frames()
    stage.head(asking)
    asking.reply.sink.full = True
    asking.stream.hold()
    for _ in range(4):
        stage.data(asking, bytes(16384))
    assert [f for f in stage.frames() if f.kind == WINDOW_UPDATE and f.ident] == []
    assert not asking.reply.sink.received
    asking.reply.sink.full = False
    asking.stream.resume()
    assert len(asking.reply.sink.received) == 65536
    (credit,) = [f for f in stage.frames() if f.kind == WINDOW_UPDATE and f.ident]
    assert credit.number == 65536
    stage.close()


async def test_what_the_sink_could_not_pass_on_is_credited_when_it_goes_on() -> None:
    stage = UpstreamStage()
    asking = stage.ask()
    stage.head(asking)
    stage.frames()
    asking.reply.sink.full = True
    for _ in range(2):
        stage.data(asking, bytes(16384))
    assert stage.frames() == []
    asking.reply.sink.full = False
    asking.stream.resume()
    assert [f.number for f in stage.frames()] == [32768]
    stage.close()


async def test_the_rest_is_given_on_after_the_end_of_the_connection() -> None:
    """It has come whole: whether the connection lives does not matter."""
    stage = UpstreamStage()
    asking = stage.ask()
    stage.head(asking)
    asking.stream.hold()
    stage.data(asking, b"abc", ended=True)
    stage.close()
    assert not asking.done.done()
    asking.stream.resume()
    assert (bytes(asking.reply.sink.received), asking.reply.sink.complete, asking.error) == (b"abc", True, None)


async def test_a_caller_that_takes_nothing_at_the_head() -> None:
    stage = UpstreamStage()
    asking = stage.ask()

    def begin(head: object, source: object) -> object:
        asking.stream.hold()
        return asking.reply.sink

    asking.reply.begin = begin  # type: ignore[method-assign,assignment]
    stage.say(frame(HEADERS, 4, 1, block(OK)), frame(DATA, 0, 1, b"ab"))
    assert asking.stream.state is ClientState.HELD
    assert not asking.reply.sink.received
    asking.stream.resume()
    assert bytes(asking.reply.sink.received) == b"ab"
    stage.close()


async def test_refused_means_unprocessed_until_the_response_has_begun() -> None:
    stage = UpstreamStage()
    one, two = stage.ask(), stage.ask()
    stage.head(two)
    stage.say(rst_stream(1, REFUSED_STREAM), rst_stream(3, REFUSED_STREAM))
    for asking, unprocessed in ((one, True), (two, False)):
        assert isinstance(asking.error, GatewayError)
        assert (asking.error.reason, asking.error.unprocessed) == (errors.UPSTREAM_RESET, unprocessed)
        assert "REFUSED_STREAM" in asking.error.details
    stage.close()


async def test_a_fault_behind_a_whole_response_does_not_change_it() -> None:
    stage = UpstreamStage()
    asking = stage.upload()
    stage.frames()
    stage.say(frame(HEADERS, 5, 1, block(OK)), frame(HEADERS, 5, 1, block(OK)))
    assert (asking.error, asking.reply.sink.complete) == (None, True)
    assert [f.kind for f in stage.frames()] == [RST_STREAM]
    stage.close()


async def test_padding_is_credited_and_is_no_body() -> None:
    stage = UpstreamStage()
    asking = stage.ask()
    stage.head(asking, [*OK, (b"content-length", b"2")])
    stage.say(frame(DATA, 0x9, 1, b"\x03ab\0\0\0"))
    assert (bytes(asking.reply.sink.received), asking.error) == (b"ab", None)
    stage.close()


async def test_expiry() -> None:
    stage = UpstreamStage()
    asking = stage.ask()
    asking.stream.expect_by(monotonic() + 0.001, errors.HEADER_TIMEOUT)
    asking.stream.expires_at = monotonic() - 1
    stage.client._on_time()
    assert isinstance(asking.error, GatewayError)
    assert asking.error.reason is errors.HEADER_TIMEOUT
    stage.close()


async def test_a_malformed_trailer_section() -> None:
    stage = UpstreamStage()
    asking = stage.ask()
    stage.frames()
    stage.head(asking)
    stage.head(asking, ended=True)
    assert isinstance(asking.error, GatewayError)
    assert asking.error.reason is errors.UPSTREAM_BAD_RESPONSE
    assert [(f.kind, f.number) for f in stage.frames()] == [(RST_STREAM, PROTOCOL_ERROR)]
    assert not asking.reply.sink.complete
    stage.close()
