"""Calls with access tokens over real sockets: what a 401 costs, whom it blames, and what a missing token does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from harness.answers import answer, each_request
from harness.message import Message
from harness.patience import eventually
from harness.upstream import Upstream

from gateway.app import Gateway
from gateway.config import load
from gateway.config.grants import without_grants
from gateway.ipc.calls import Asked, Called
from gateway.ipc.tokens import AccessToken

FILE = """
listen: 127.0.0.1:0
access_log: null
connections:
  shop:
    base_url: {url}
    max_concurrent: 2
    retry: once
    circuit_breaker: {{enabled: true, failure_threshold: 1, failure_statuses: ["400-599"]}}
    auth: {{type: oauth2_client_credentials, token_url: "https://idp/t", client_id: c, client_secret: s}}
actions:
  order: {{connection: shop, method: POST, path: /orders, request_body: {{id: "{{id}}"}}}}
"""
TRN = "trn:openact:default:connection/http/shop@v1"
NEW = "new-token"


def token(value: str, version: int, age: float) -> AccessToken:
    now = time.time()
    return AccessToken(version, value, now - age, now + 3600.0, now)


@asynccontextmanager
async def served(upstream: Upstream, first: AccessToken | None) -> AsyncIterator[Gateway]:
    """A data plane, behind an upstream that takes the new token alone."""

    def reply(message: Message) -> bytes:
        good = message.get("authorization") == f"Bearer {NEW}".encode()
        return answer(message.body, status=201 if good else 401)

    upstream.behaviour = each_request(reply)
    document = without_grants(load.parse(FILE.format(url=upstream.url), "yaml", "f", {}))
    async with Gateway(document) as gateway:
        gateway.actions.tokens.adopt({} if first is None else {TRN: first})
        yield gateway


def call(gateway: Gateway, timeout: float = 0.0, *, dry_run: bool = False) -> asyncio.Future[Called]:
    asked = Asked("default", "order", {"id": 7}, None, timeout, dry_run)
    return asyncio.ensure_future(gateway.actions.call(gateway.server, asked))


def failure_of(called: Called) -> tuple[int, str, int]:
    failure = called["failure"]
    assert failure is not None
    return failure["status"], failure["code"], failure.get("retry_after", 0)


@pytest.mark.covers("ACT-17")
async def test_a_401_is_made_good_by_the_next_token_and_says_nothing_to_the_breaker(upstream: Upstream) -> None:
    async with served(upstream, token("old", 1, 60.0)) as gateway:
        wanted = asyncio.Event()
        gateway.actions.tokens.on_wanted = wanted.set
        calls = [call(gateway) for _ in range(2)]
        await wanted.wait()
        await eventually(lambda: gateway.actions.tokens.told(TRN)["waiting"] == 2, "both have their 401")
        explained = gateway.explain("connection/shop")
        assert explained is not None
        assert explained["limiter"] is not None
        assert explained["limiter"]["in_flight"] == 0, "a call that waits holds no permit"
        assert gateway.actions.tokens.take_wanted() == ((TRN, 1),)
        gateway.actions.tokens.adopt({TRN: token(NEW, 2, 0.0)})
        found = await asyncio.gather(*calls)
        assert [(each["status"], each["body"], each["attempts"]) for each in found] == [(201, b'{"id":7}', 2)] * 2
        explained = gateway.explain("connection/shop")
        assert explained is not None
        assert explained["breaker"] is not None
        assert (explained["breaker"]["state"], explained["breaker"]["failures"]) == ("closed", 0)


async def test_a_young_token_that_is_refused_is_not_replaced(upstream: Upstream) -> None:
    async with served(upstream, token("young", 1, 0.0)) as gateway:
        for _ in range(3):
            assert (await call(gateway))["status"] == 401
        assert len(upstream.requests) == 3
        assert gateway.actions.tokens.take_wanted() == ()


async def test_a_call_that_waits_for_a_token_holds_no_permit_and_ends_in_its_time(upstream: Upstream) -> None:
    async with served(upstream, None) as gateway:
        waiting = [call(gateway, timeout=0.2) for _ in range(5)]
        found = await asyncio.gather(*waiting)
        assert {failure_of(each)[:2] for each in found} == {(503, "token_unavailable")}
        assert upstream.accepted == 0
        explained = gateway.explain("action/order")
        assert explained is not None
        assert explained["token"] is not None
        assert (explained["token"]["status"], explained["token"]["waiting"]) == ("not_issued", 0)
        assert explained["limiter"] is not None
        assert explained["limiter"]["in_flight"] == 0


async def test_a_failure_is_given_at_once_and_explained(upstream: Upstream) -> None:
    lacking = AccessToken(failure="token_unavailable", details="no connection", until=time.time() + 20.0)
    async with served(upstream, lacking) as gateway:
        assert failure_of(await call(gateway)) == (503, "token_unavailable", 20)
        explained = gateway.explain("connection/shop")
        assert explained is not None
        assert (explained["verdict"], explained["reason"]) == ("refuse", "token_unavailable")
        assert explained["sentence"] == "no connection"
        assert upstream.accepted == 0


async def test_a_dry_run_needs_no_token(upstream: Upstream) -> None:
    async with served(upstream, None) as gateway:
        planned = (await call(gateway, dry_run=True))["planned"]
        assert planned is not None
        shown = {each["name"]: (each["value"], each["layer"]) for each in planned["headers"]}
        assert shown["Authorization"] == ("[REDACTED]", "auth")
