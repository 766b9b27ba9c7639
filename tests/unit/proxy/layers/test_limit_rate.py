from __future__ import annotations

import pytest
from unit.scene import Clock, exchange

from gateway.config.records import RateLimit
from gateway.core.exchange import Exchange
from gateway.core.quota import KINDS
from gateway.errors import GatewayError
from gateway.policy.rate import Buckets, RateLimits
from gateway.policy.rate import RateLimit as Machine
from gateway.policy.rate_store import MemoryRateStore
from gateway.proxy.layers.limit_rate import RateRule, limit_rate

CLIENT = RateLimit("client", 1.0, burst=2)


def rule_of(*settings: RateLimit, weight: int = 1, clock: Clock | None = None) -> RateRule:
    limits = [
        Machine(
            each.shown_name,
            each.rate,
            each.per,
            each.tokens,
            Buckets(each.shown_name, MemoryRateStore(8)),
            shadow=each.mode == "shadow",
        )
        for each in settings
    ]
    return RateRule(settings, RateLimits(limits, weight, clock or Clock()), b"s" * 16)


async def serve(ex: Exchange) -> None:
    ex.status = 200


async def asked(rule: RateRule) -> tuple[Exchange, GatewayError | None]:
    ex = exchange()
    try:
        await limit_rate(rule)(serve)(ex)
    except GatewayError as error:
        return ex, error
    return ex, None


def lines(ex: Exchange) -> list[str]:
    return [] if ex.quota is None else ex.quota.lines().decode().splitlines()


def limited(ex: Exchange) -> list[str]:
    return [] if ex.quota is None else [KINDS[kind] for kind in ex.quota.limited]


def test_no_limits_no_layer() -> None:
    assert limit_rate(None)(serve) is serve


async def test_what_has_no_token_is_refused_before_anything_below() -> None:
    rule = rule_of(CLIENT)
    for _ in range(2):
        ex, error = await asked(rule)
        assert (ex.status, error, limited(ex)) == (200, None, [])
    ex, error = await asked(rule)
    assert error is not None
    assert (error.reason.code, error.retry_after, ex.status) == ("rate_limit", 1, 0)
    assert error.details == "Too many requests came for the rate limit client"
    assert (limited(ex), ex.shadow) == (["client"], "")


async def test_responses_say_what_is_left_when_they_begin() -> None:
    clock = Clock()
    rule = rule_of(RateLimit("client", 4.0, per=10.0), RateLimit("header:x-team", 100.0, name="team"), clock=clock)
    ex, _ = await asked(rule)
    policy = 'RateLimit-Policy: "client";q=4;w=10, "team";q=100;w=1'
    assert lines(ex) == [policy, 'RateLimit: "client";r=3;t=3, "team";r=99;t=1']
    clock.now += 60
    assert lines(ex) == [policy, 'RateLimit: "client";r=4, "team";r=100']
    assert ex.quota is not None
    assert ex.quota.shown


async def test_a_refusal_says_it_of_the_limits_that_refuse() -> None:
    """The next token of another one may come later than Retry-After, which must not be earlier than any ``t``."""
    rule = rule_of(CLIENT, RateLimit("principal", 5.0, per=86400.0))
    await asked(rule)
    await asked(rule)
    ex, error = await asked(rule)
    assert error is not None
    assert error.retry_after == 1
    assert lines(ex) == ['RateLimit-Policy: "client";q=2;w=2, "principal";q=5;w=86400', 'RateLimit: "client";r=0;t=1']


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        (RateLimit("all", 1.0), False),
        (RateLimit("all", 1.0, fields="always"), True),
        (RateLimit("client", 1.0, fields="never"), False),
        (RateLimit("client", 1.0, fields="always", mode="shadow"), False),
        (RateLimit("principal", 1.0), True),
    ],
)
async def test_only_what_callers_may_know_is_shown(settings: RateLimit, shown: bool) -> None:
    rule = rule_of(settings)
    ex, _ = await asked(rule)
    assert bool(lines(ex)) is shown
    assert (ex.quota is not None) is shown, "what is not shown costs nothing"
    ex, _ = await asked(rule)
    assert ex.quota is not None
    assert ex.quota.shown is shown
    assert bool(lines(ex)) is shown


async def test_a_refusal_by_what_is_not_shown_names_the_policy_alone() -> None:
    ex, _ = await asked(rule_of(RateLimit("all", 1.0), RateLimit("client", 9.0)))
    assert len(lines(ex)) == 2
    rule = rule_of(RateLimit("all", 1.0), RateLimit("client", 9.0))
    await asked(rule)
    ex, error = await asked(rule)
    assert error is not None
    assert lines(ex) == ['RateLimit-Policy: "client";q=9;w=1']


async def test_shadow_mode_keeps_what_a_layer_above_has_noted() -> None:
    rule = rule_of(RateLimit("client", 1.0, mode="shadow"))
    await asked(rule)
    ex = exchange()
    ex.shadow = "overloaded"
    await limit_rate(rule)(serve)(ex)
    assert (ex.shadow, limited(ex)) == ("overloaded", ["client"])


async def test_shadow_mode_counts_and_serves() -> None:
    rule = rule_of(RateLimit("client", 1.0, mode="shadow"), RateLimit("all", 9.0, burst=2, fields="always"))
    await asked(rule)
    ex, error = await asked(rule)
    assert (error, ex.status, ex.shadow, limited(ex)) == (None, 200, "rate_limit", ["client"])
    assert lines(ex)[1] == 'RateLimit: "all";r=0;t=1'
    ex, error = await asked(rule)
    assert error is not None
    assert error.details == "Too many requests came for the rate limit all"
    assert (limited(ex), ex.shadow) == (["client", "all"], "")


def test_what_an_operator_asks_of_the_bucket_of_all() -> None:
    rule = rule_of(RateLimit("all", 3.0))
    assert rule.left(0) == 3
    rule.machine.try_take([rule.key_of_all])
    assert rule.left(0) == 2
