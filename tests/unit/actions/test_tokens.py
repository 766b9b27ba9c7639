"""Access tokens in a worker, with a clock that the test turns."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from gateway.actions.tokens import CallToken, Tokens, with_token
from gateway.core.message import RequestHead
from gateway.errors import GatewayError
from gateway.ipc.tokens import AccessToken

FIRST = AccessToken(1, "token-1", 1000.0, 4600.0)
AWAY = AccessToken(0, tried=1000.0, failure="token_unavailable", details="no connection", until=1010.0)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def made(**tokens: AccessToken) -> tuple[Tokens, Clock]:
    clock = Clock()
    found = Tokens(clock)
    found.adopt(tokens)
    return found, clock


async def test_a_fresh_token_is_used_at_once() -> None:
    tokens, clock = made(shop=FIRST)
    assert await tokens.current("shop") is FIRST
    clock.now = 4540.0
    assert await tokens.current("shop") is FIRST
    assert tokens.take_wanted() == (("shop", 0),), "the next one is wanted before its end"
    assert tokens.take_wanted() == ()
    tokens.adopt({"shop": replace(FIRST, failure="token_unavailable", until=4550.0)})
    assert (await tokens.current("shop")).value == "token-1"
    assert tokens.take_wanted() == (), "asking makes no sense yet"


async def test_calls_without_a_token_wait_for_one() -> None:
    tokens, _ = made()
    rung: list[bool] = []
    tokens.on_wanted = lambda: rung.append(True)
    waiting = [asyncio.ensure_future(tokens.current("shop")) for _ in range(3)]
    await asyncio.sleep(0)
    assert tokens.take_wanted() == (("shop", 0),)
    assert rung
    assert tokens.told("shop")["waiting"] == 3
    tokens.adopt({"other": FIRST})
    await asyncio.sleep(0)
    waiting[0].cancel()
    tokens.adopt({"shop": FIRST})
    assert await asyncio.gather(*waiting[1:]) == [FIRST, FIRST]
    told = tokens.told("shop")
    assert (told["waiting"], told["status"], told["live"], told["version"]) == (0, "ready", True, 1)


async def test_a_call_asks_again_while_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.actions.tokens._ASK_AGAIN_SECONDS", 0.001)
    tokens, _ = made()
    asked = asyncio.Event()

    def wanted() -> None:
        if tokens.take_wanted() and rung.append(True) is None and len(rung) == 3:
            asked.set()

    rung: list[bool] = []
    tokens.on_wanted = wanted
    waiting = asyncio.ensure_future(tokens.current("shop"))
    await asked.wait()
    tokens.adopt({"shop": FIRST})
    assert await waiting is FIRST


async def test_a_failure_is_said_at_once_until_it_makes_sense_to_ask() -> None:
    tokens, clock = made(shop=AWAY)
    clock.now = 1001.5
    with pytest.raises(GatewayError) as caught:
        await tokens.current("shop")
    assert (caught.value.reason.code, caught.value.retry_after) == ("token_unavailable", 9)
    assert caught.value.details == "no connection"
    assert tokens.take_wanted() == ()
    clock.now = 1010.0
    waiting = asyncio.ensure_future(tokens.current("shop"))
    await asyncio.sleep(0)
    assert tokens.take_wanted() == (("shop", 0),)
    lack = AccessToken(0, tried=1010.0, lack="unbound", failure="not_authorized", details="log in", until=1012.0)
    tokens.adopt({"shop": lack})
    with pytest.raises(GatewayError) as caught:
        await waiting
    assert (caught.value.reason.code, caught.value.retry_after) == ("not_authorized", 0)


async def test_a_connection_that_goes_while_a_call_waits_ends_it() -> None:
    tokens, _ = made(shop=replace(AWAY, until=0.0))
    waiting = asyncio.ensure_future(tokens.current("shop"))
    await asyncio.sleep(0)
    tokens.adopt({})
    with pytest.raises(GatewayError) as caught:
        await waiting
    assert (caught.value.reason.code, caught.value.retry_after) == ("token_unavailable", 1)


async def test_a_refused_token_has_a_next_one() -> None:
    tokens, clock = made(shop=FIRST)
    assert await tokens.after("shop", FIRST) is None, "it is young"
    clock.now = 1030.0
    waiting = asyncio.ensure_future(tokens.after("shop", FIRST))
    await asyncio.sleep(0)
    assert tokens.take_wanted() == (("shop", 1),)
    second = AccessToken(2, "token-2", 1030.0, 4600.0)
    tokens.adopt({"shop": second})
    assert await waiting is second
    assert await tokens.after("shop", FIRST) is second, "the others find it"
    assert tokens.take_wanted() == ()


@pytest.mark.parametrize(
    "next_one", [replace(FIRST, tried=1030.0), AccessToken(2, "gone", 1000.0, 1020.0), replace(AWAY, version=2)]
)
async def test_a_refused_token_without_a_live_next_one_stays_refused(next_one: AccessToken) -> None:
    tokens, clock = made(shop=FIRST)
    clock.now = 1030.0
    waiting = asyncio.ensure_future(tokens.after("shop", FIRST))
    await asyncio.sleep(0)
    tokens.adopt({"shop": next_one})
    assert await waiting is None
    tokens.adopt({"shop": replace(FIRST, until=1040.0)})
    assert await tokens.after("shop", FIRST) is None, "asking makes no sense yet"


async def test_a_call_carries_its_token_and_no_other() -> None:
    tokens, clock = made(shop=FIRST)
    call = CallToken(tokens, "shop")
    head = RequestHead(b"GET", b"/x", 1, [b"A: b", b"authorization: forged"], {}, 0, True)
    sent = await call.head(head)
    assert sent.fields == [b"A: b", b"Authorization: Bearer token-1"]
    assert head.fields == [b"A: b", b"authorization: forged"]
    assert (sent.method, sent.target, sent.minor, sent.length) == (b"GET", b"/x", 1, 0)
    assert not await call.refused()
    clock.now = 1030.0
    tokens.adopt({"shop": AccessToken(2, "token-2", 1030.0, 4600.0)})
    assert await call.refused()
    assert (await call.head(sent)).fields[-1] == b"Authorization: Bearer token-2"
    assert not call.waits


async def test_it_knows_that_it_waits() -> None:
    tokens, _ = made()
    call = CallToken(tokens, "shop")
    waiting = asyncio.ensure_future(call.head(with_token(RequestHead(b"GET", b"/", 1, [], {}, 0, True), "x")))
    await asyncio.sleep(0)
    assert call.waits
    waiting.cancel()
    await asyncio.wait({waiting})
