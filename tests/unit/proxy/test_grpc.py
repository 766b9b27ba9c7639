"""gRPC: which requests are calls of it, their deadlines, and what a refusal says."""

from __future__ import annotations

import pytest
from unit.scene import exchange

from gateway import errors
from gateway.core.message import RequestHead
from gateway.errors import REASONS, GatewayError
from gateway.proxy.grpc import is_grpc, refusal_fields, seconds_in, timeout_line


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
