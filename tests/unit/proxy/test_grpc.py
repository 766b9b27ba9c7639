"""gRPC: which requests are calls of it, their deadlines, and what a refusal says."""

from __future__ import annotations

import pytest
from unit.scene import exchange

from gateway import errors
from gateway.core.exchange import GRPC_DUE, NO_GRPC
from gateway.core.message import CHUNKED, RequestHead, ResponseHead
from gateway.core.outcome import Outcome
from gateway.errors import REASONS, GatewayError
from gateway.proxy.grpc import (
    is_grpc,
    outcome_of,
    refusal_fields,
    seconds_in,
    status_of_head,
    status_of_trailers,
    timeout_line,
)


def call(content_type: bytes, *, method: bytes = b"POST", minor: int = 2) -> RequestHead:
    return RequestHead(method, b"/s/m", minor, [b"te: trailers", b"Content-Type:" + content_type], {}, 0, True)


@pytest.mark.parametrize("content_type", [b" application/grpc", b"application/GRPC+proto", b" application/grpc;a=b"])
def test_a_call(content_type: bytes) -> None:
    assert is_grpc(call(content_type))


@pytest.mark.parametrize(
    "request_",
    [
        call(b"application/grpc-web"),
        call(b"application/grpcx"),
        call(b"application/json"),
        call(b"application/grpc", method=b"GET"),
        call(b"application/grpc", minor=1),
        RequestHead(b"POST", b"/", 2, [], {}, 0, True),
    ],
)
def test_no_call(request_: RequestHead) -> None:
    assert not is_grpc(request_)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"1H", 3600.0),
        (b"2M", 120.0),
        (b"3S", 3.0),
        (b"250m", 0.25),
        (b"5u", 5e-6),
        (b"7n", 7e-9),
        (b"99999999S", 99999999.0),
        (b"", 0.0),
        (b"S", 0.0),
        (b"1", 0.0),
        (b"1s", 0.0),
        (b"-1S", 0.0),
        (b"1.5S", 0.0),
        (b"100000000S", 0.0),
        (b"1S, 2S", 0.0),
    ],
)
def test_a_timeout(value: bytes, seconds: float) -> None:
    assert seconds_in(value) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("given", "deadline", "line"),
    [
        (b"10S", 107.5, b"grpc-timeout: 7500m\r\n"),
        (b"10S", 100.0002, b"grpc-timeout: 1m\r\n"),
        (b"10S", 100.0012, b"grpc-timeout: 2m\r\n"),
        (b"10S", 99.0, b"grpc-timeout: 1m\r\n"),
        (b"99H", 100 + 200_000.0, b"grpc-timeout: 200000S\r\n"),
        (b"odd", 107.5, b"grpc-timeout: odd\r\n"),
        (b"10S", 0.0, b"grpc-timeout: 10S\r\n"),
    ],
)
def test_what_is_left_of_it(given: bytes, deadline: float, line: bytes) -> None:
    ex = exchange()
    ex.request = ex.request.having({b"grpc-timeout": given})
    ex.deadline = deadline
    assert timeout_line(ex, 100.0) == line


def test_a_refusal() -> None:
    error = GatewayError(errors.CONCURRENCY_LIMIT, "busy: 100 % — wait\n", retry_after=3)
    assert refusal_fields(error) == (
        b"Content-Type: application/grpc\r\ngrpc-status: 14\r\n"
        b"grpc-message: busy: 100 %25 %E2%80%94 wait%0A\r\ngrpc-retry-pushback-ms: 3000\r\n"
    )


def test_each_reason_has_a_status_of_a_failure() -> None:
    assert all(0 < reason.grpc <= 16 for reason in REASONS.values())
    expected = {"unauthenticated": 16, "forbidden": 7, "no_route": 12, "queue_full": 14, "total_timeout": 4}
    assert {code: REASONS[code].grpc for code in expected} == expected


def response(*fields: bytes, status: int = 200) -> ResponseHead:
    return ResponseHead(status, b"", 2, list(fields), {}, CHUNKED, True)


def test_where_the_status_of_a_response_is() -> None:
    asked, media = call(b"application/grpc"), b"content-type: application/grpc+proto"
    assert status_of_head(asked, response(media)) == GRPC_DUE
    assert status_of_head(asked, response(media, b"Grpc-Status: 5")) == 5
    assert status_of_head(asked, response(media, b"grpc-status: odd")) == 2
    assert status_of_trailers([b"a: b", b"grpc-status: 0"]) == 0


def test_a_status_that_is_missing_is_unknown() -> None:
    assert status_of_trailers([b"grpc-message: x"]) == 2
    assert status_of_trailers([b"grpc-status: 1234567890"]) == 2


def test_a_caller_cannot_make_other_responses_failures() -> None:
    """A service that does not speak gRPC sends no status, whatever the request says of itself."""
    media = b"content-type: application/grpc"
    assert status_of_head(call(b"application/grpc"), response(b"content-type: text/html")) == NO_GRPC
    assert status_of_head(call(b"application/grpc"), response(media, b"grpc-status: 2", status=404)) == NO_GRPC
    assert status_of_head(call(b"application/json"), response(media, b"grpc-status: 2")) == NO_GRPC


def test_what_a_status_says_about_the_endpoint() -> None:
    assert [status for status in range(20) if outcome_of(status) is Outcome.FAILURE] == [2, 4, 13, 14, 15]
    assert [status for status in range(20) if outcome_of(status) is Outcome.IGNORED] == [1]
