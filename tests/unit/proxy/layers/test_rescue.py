from __future__ import annotations

import json
import logging

import pytest
from unit.scene import exchange

from gateway import errors
from gateway.core.attempt import Attempt
from gateway.core.exchange import GRPC_DUE, Exchange
from gateway.errors import GatewayError
from gateway.proxy.layers.rescue import rescue


class Client:
    client = "192.0.2.1:5000"

    def __init__(self) -> None:
        self.told: list[tuple[int, bytes, bytes]] = []
        self.cuts = 0

    def respond(self, status: int, fields: bytes, body: bytes) -> None:
        self.told.append((status, fields, body))

    def cut(self) -> None:
        self.cuts += 1

    def end(self, trailers: list[bytes]) -> None:
        self.trailers = trailers


async def run(error: Exception, *, committed: bool = False) -> tuple[Exchange, Client]:
    async def fail(ex: Exchange) -> None:
        raise error

    ex, client = exchange(), Client()
    ex.downstream, ex.committed, ex.request_id = client, committed, b'i"d'
    await rescue(fail)(ex)
    return ex, client


@pytest.mark.covers("FR-009", "T053")
async def test_a_refusal_is_told_in_full() -> None:
    error = GatewayError(errors.BREAKER_OPEN, retry_after=7, headers=(("X-Circuit-Breaker", "open"),))
    ex, client = await run(error)
    status, fields, body = client.told[0]
    assert (status, ex.status, ex.reason, ex.committed) == (503, 503, "breaker_open", True)
    assert {b"X-Gateway-Reason: breaker_open", b"Retry-After: 7", b"X-Circuit-Breaker: open"} <= set(
        fields.split(b"\r\n")
    )
    assert json.loads(body) == {
        "error": "Service Unavailable",
        "details": errors.BREAKER_OPEN.details,
        "code": "breaker_open",
        "request_id": 'i"d',
    }


async def test_a_401_carries_a_challenge() -> None:
    """RFC 9110 15.5.2."""
    _, client = await run(GatewayError(errors.UNAUTHENTICATED))
    assert b"WWW-Authenticate: Bearer" in client.told[0][1]


@pytest.mark.covers("T048")
async def test_after_commit_the_client_is_cut() -> None:
    ex, client = await run(GatewayError(errors.UPSTREAM_RESET), committed=True)
    assert (client.told, client.cuts, ex.reason) == ([], 1, "upstream_reset")


async def test_a_response_of_grpc_that_has_begun_says_how_it_ended() -> None:
    async def fail(ex: Exchange) -> None:
        ex.committed, ex.grpc_status = True, GRPC_DUE
        raise GatewayError(errors.UPSTREAM_RESET, "gone")

    ex, client = exchange(), Client()
    ex.downstream = client
    await rescue(fail)(ex)
    assert (client.told, client.cuts, ex.grpc_status, ex.reason) == ([], 0, 14, "upstream_reset")
    assert client.trailers == [b"grpc-status: 14", b"grpc-message: gone", b"X-Gateway-Reason: upstream_reset"]


async def test_our_own_fault_is_logged_and_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        _, client = await run(ValueError("secret"))
    assert client.told[0][0] == 500
    assert b"secret" not in client.told[0][2]
    assert caplog.records


@pytest.mark.covers("EC-004", "T031b")
async def test_an_answer_that_is_no_http_is_told_in_the_process_log(caplog: pytest.LogCaptureFixture) -> None:
    await run(GatewayError(errors.UPSTREAM_BAD_RESPONSE, "The response is not HTTP/1.1"))
    await run(GatewayError(errors.UPSTREAM_RESET))
    assert [(r.levelname, "The response is not HTTP/1.1" in r.getMessage()) for r in caplog.records] == [
        ("WARNING", True)
    ]


async def test_complaints_come_once_a_second_for_each_proxy(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(ex: Exchange) -> None:
        raise GatewayError(errors.UPSTREAM_BAD_RESPONSE, "broken")

    for handle in (rescue(fail), rescue(fail)):
        for _ in range(3):
            ex = exchange()
            ex.downstream, ex.proxy, ex.attempt = Client(), "ai", Attempt("h:1")
            await handle(ex)
    assert [record.getMessage() for record in caplog.records] == [
        "proxy ai: the response of h:1 is rejected: broken"
    ] * 2
