from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from unit.scene import exchange

from gateway.config.records import Hedge as Settings
from gateway.core.exchange import Exchange
from gateway.core.hedge import Hedge
from gateway.policy.budget import RetryBudget
from gateway.policy.latency import Latency
from gateway.proxy.hedged_attempt import HedgedAttempt
from gateway.proxy.layers.hedge import hedge
from gateway.proxy.race import Means
from gateway.wire.buffers import BUFFER_SIZE, BufferPool

MOST = 100


class Caller:
    """A stream with a body that is there, or not yet."""

    body_complete = True

    def __init__(self, body: bytes | None, *, expects: bool = False) -> None:
        self.body = body
        self.awaits_continue = expects
        self.taken = 0

    def take_body(self) -> bytes | None:
        self.taken += 1
        return self.body


async def hedged(ex: Exchange, buffers: BufferPool | None = None, **settings: Any) -> bool:
    """Whether ``ex`` may get a second attempt: then its first one has an exchange of its own."""
    seen: list[Exchange] = []

    async def handle(found: Exchange) -> None:
        seen.append(found)
        assert pool.kept == (len(found.body or b"") if found is not ex else 0)

    pool = buffers or BufferPool()
    means = Means(Settings(1.0, **settings), (), RetryBudget(), Latency())
    await hedge(means, pool, MOST)(handle)(ex)
    assert pool.kept == 0
    if seen[0] is ex:
        return False
    assert isinstance(ex.hedge, Hedge)
    assert seen[0].hedge is ex.hedge
    return True


@pytest.mark.parametrize(
    ("method", "idempotent", "safe"),
    [
        (b"GET", True, True),
        (b"HEAD", True, True),
        (b"OPTIONS", True, True),
        (b"TRACE", True, True),
        (b"PUT", True, False),
        (b"DELETE", True, False),
        (b"POST", False, False),
        (b"PATCH", False, False),
        (b"PURGE", False, False),
    ],
)
async def test_methods(method: bytes, idempotent: bool, safe: bool) -> None:
    assert await hedged(exchange(method)) is idempotent
    assert await hedged(exchange(method), methods="safe") is safe


async def test_an_upgrade_is_not_hedged() -> None:
    ex = exchange()
    ex.request.known[b"upgrade"] = b"websocket"
    assert not await hedged(ex)


@pytest.mark.parametrize("facts", [{"sent": True}, {"withheld": "budget"}, {"shadowed": True}])
async def test_each_request_gets_one_hedge(facts: dict[str, Any]) -> None:
    ex = exchange()
    ex.hedge = Hedge()
    assert await hedged(ex), "it was not time for one yet"
    assert ex.hedge is not None
    for name, value in facts.items():
        setattr(ex.hedge, name, value)
    assert not await hedged(ex)


async def test_a_body_that_is_there_is_taken_once() -> None:
    ex = exchange(b"PUT", 4)
    ex.downstream = caller = Caller(b"body")  # type: ignore[assignment] # as much of a stream as is asked
    assert await hedged(ex)
    assert await hedged(ex), "it is kept for the next time"
    assert (ex.body, caller.taken) == (b"body", 1)


@pytest.mark.parametrize(
    ("length", "body", "expects", "taken"),
    [(4, None, False, 1), (-1, b"body", False, 0), (MOST + 1, b"x" * (MOST + 1), False, 0), (4, b"body", True, 0)],
    ids=["not there yet", "chunked", "too long", "held back"],
)
async def test_other_bodies_are_sent_once(length: int, body: bytes | None, expects: bool, taken: int) -> None:
    ex = exchange(b"PUT", length)
    ex.downstream = caller = Caller(body, expects=expects)  # type: ignore[assignment] # as above
    assert not await hedged(ex)
    assert (ex.body, caller.taken) == (None, taken)


async def test_a_body_that_was_relayed_is_gone() -> None:
    ex = exchange(b"PUT", 4)
    ex.downstream = caller = Caller(b"body")  # type: ignore[assignment] # as above
    ex.retries = SimpleNamespace(relayed=True)  # type: ignore[assignment] # as above
    assert not await hedged(ex)
    assert caller.taken == 0


async def test_one_that_a_fallback_keeps_may_be_too_long() -> None:
    ex = exchange(b"PUT", MOST + 1)
    ex.body = b"x" * (MOST + 1)
    assert not await hedged(ex)


async def test_bodies_are_kept_as_far_as_the_buffers_reach() -> None:
    ex, buffers = exchange(b"PUT", 4), BufferPool(1)
    ex.downstream = Caller(b"body")  # type: ignore[assignment] # as above
    assert buffers.keep(BUFFER_SIZE)
    means = Means(Settings(1.0), (), RetryBudget(), Latency())
    seen: list[Exchange] = []

    async def handle(found: Exchange) -> None:
        seen.append(found)

    await hedge(means, buffers, MOST)(handle)(ex)
    assert seen == [ex]
    assert ex.body == b"body", "it was taken, and is sent from here"
    assert buffers.kept == BUFFER_SIZE


def test_an_attempt_is_what_an_exchange_asks_about_its_response() -> None:
    """Of `gateway.core.retries.Retries` nothing is missing."""
    from gateway.core.retries import Retries

    wanted = {name for name in vars(Retries) if not name.startswith("_")} | set(Retries.__annotations__)
    assert not [name for name in wanted if not hasattr(HedgedAttempt, name)]
