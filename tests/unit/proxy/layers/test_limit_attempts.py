from __future__ import annotations

from collections.abc import Callable
from time import monotonic

import pytest
from unit.scene import Clock, exchange

from gateway.config.records import RateLimit, Upstream
from gateway.core.attempt import NO_ATTEMPT, Attempt
from gateway.core.exchange import Exchange
from gateway.core.quota import KINDS, Quota
from gateway.errors import GatewayError
from gateway.policy.retry import STALE
from gateway.policy.stores import MemoryStores
from gateway.proxy.layers.limit_attempts import limit_attempts
from gateway.proxy.layers.limit_rate import RateRule
from gateway.proxy.rates import Rates


def rule_of(*limits: RateLimit, clock: Callable[[], float] | None = None) -> RateRule:
    rule = Rates(MemoryStores(), clock or Clock()).of_upstream(
        Upstream("upstream connection/shop", (), rate_limits=limits)
    )
    assert rule is not None
    return rule


async def serve(ex: Exchange) -> None:
    ex.attempts += 1


async def attempt(rule: RateRule, ex: Exchange) -> GatewayError | None:
    try:
        await limit_attempts(rule)(serve)(ex)
    except GatewayError as error:
        return error
    return None


class Fields:
    """What the rate limits of a proxy have said before."""

    limited = (KINDS.index("client"),)
    shown = True

    def lines(self) -> bytes:
        return b"RateLimit: x\r\n"


def test_no_limits_no_layer() -> None:
    assert limit_attempts(None)(serve) is serve


async def test_each_attempt_takes_a_token_and_one_without_is_not_made() -> None:
    clock = Clock()
    rule, ex = rule_of(RateLimit("all", 2.0, per=60.0), clock=clock), exchange()
    assert [await attempt(rule, ex) for _ in range(2)] == [None, None]
    assert ex.quota is None
    error = await attempt(rule, ex)
    assert error is not None
    assert (error.reason.code, error.retry_after, ex.attempts) == ("rate_limit", 30, 2)
    assert error.details == "Too many requests came for the rate limit all of connection/shop"
    assert ex.quota is not None
    assert (list(ex.quota.limited), ex.quota.shown, ex.quota.lines(), ex.shadow) == ([0], False, b"", "")
    clock.now += error.retry_after
    assert await attempt(rule, ex) is None


async def test_a_request_that_met_a_stale_connection_has_its_token() -> None:
    rule, ex = rule_of(RateLimit("all", 1.0)), exchange()
    assert await attempt(rule, ex) is None
    ex.failures, ex.attempt = (STALE,), Attempt("a:1")
    assert await attempt(rule, ex) is None
    ex.attempt = NO_ATTEMPT
    assert await attempt(rule, ex) is not None, "the fallback's upstream has given no token yet"
    ex.attempt = Attempt("a:1")
    ex.failures = (STALE, "503")
    assert await attempt(rule, ex) is not None, "a retry is a request of its own"


async def test_what_one_limit_rejects_takes_nothing_from_another() -> None:
    rule = rule_of(RateLimit("all", 9.0, name="minute"), RateLimit("all", 1.0, per=60.0, name="hour"))
    found = [await attempt(rule, exchange()) for _ in range(3)]
    assert [error is None for error in found] == [True, False, False]
    assert (rule.left(0), rule.left(1)) == (8, 0)


async def test_in_shadow_mode_it_counts_and_refuses_nothing() -> None:
    rule, ex = rule_of(RateLimit("all", 1.0, mode="shadow")), exchange()
    assert [await attempt(rule, ex) for _ in range(3)] == [None] * 3
    assert (ex.shadow, ex.attempts) == ("rate_limit", 3)
    assert ex.quota is not None
    assert list(ex.quota.limited) == [0], "an exchange is counted once, however many attempts it has"


@pytest.mark.parametrize("mode", ["enforce", "shadow"])
async def test_fields_of_the_proxy_s_limits_stay(mode: str) -> None:
    rule, ex = rule_of(RateLimit("all", 1.0, mode=mode)), exchange()  # type: ignore[arg-type]
    before: Quota = Fields()
    ex.quota = before
    await attempt(rule, ex)
    assert ex.quota is before
    await attempt(rule, ex)
    found = ex.quota
    assert found is not None
    assert (list(found.limited), found.shown, found.lines()) == ([1, 0], True, b"RateLimit: x\r\n")


@pytest.mark.covers("ACT-41")
async def test_a_refused_exchange_has_a_place_in_the_line_and_comes_again_with_its_token() -> None:
    rule = rule_of(RateLimit("all", 1000.0, burst=1), clock=monotonic)
    refused = None
    while refused is None:
        ex = exchange()
        refused = await attempt(rule, ex)
    assert ex.place is not None
    assert await ex.place.reach(monotonic() + 60.0)
    assert await attempt(rule, ex) is None
    assert not ex.place.take(), "the token was used, once"


async def test_in_shadow_mode_no_one_has_a_place() -> None:
    rule, ex = rule_of(RateLimit("all", 1.0, mode="shadow")), exchange()
    assert [await attempt(rule, ex) for _ in range(3)] == [None] * 3
    assert ex.place is None
