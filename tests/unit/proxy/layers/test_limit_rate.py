from __future__ import annotations

import asyncio

import pytest
from unit.scene import Clock, exchange

from gateway.config.records import RateLimit
from gateway.core.exchange import Exchange
from gateway.core.quota import KINDS
from gateway.core.usage import Usage
from gateway.errors import UPSTREAM_RESET, GatewayError
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
            late=each.unit == "tokens",
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


class TestTokens:
    LIMIT = RateLimit("client", 10.0, burst=20, unit="tokens")

    async def uses(self, rule: RateRule, tokens: int | None, error: BaseException | None = None) -> Exchange:
        async def respond(ex: Exchange) -> None:
            if tokens is not None:
                ex.usage = Usage("")
                ex.usage.input, ex.usage.output = 1, tokens - 1
            if error is not None:
                raise error

        ex = exchange()
        await limit_rate(rule)(respond)(ex)
        return ex

    async def test_they_are_taken_when_the_response_has_ended(self) -> None:
        clock = Clock()
        rule = rule_of(self.LIMIT, clock=clock)
        ex = await self.uses(rule, 50)
        assert lines(ex) == ['RateLimit-Policy: "client";q=20;w=2', 'RateLimit: "client";r=0;t=4']
        refused, error = await asked(rule)
        assert error is not None
        assert (error.retry_after, limited(refused)) == (4, ["client"])
        assert error.details == "Too many tokens were used for the rate limit client"
        assert lines(refused)[1] == 'RateLimit: "client";r=0;t=4'
        clock.now += 3.2
        assert (await asked(rule))[1] is None

    async def test_each_counts_as_much_as_its_weight(self) -> None:
        rule = rule_of(self.LIMIT, weight=3)
        await self.uses(rule, 6)
        assert rule.machine.limits[0].left(rule.keys(exchange())[0], rule.machine.clock())[0] == 2

    async def test_what_is_not_known_takes_nothing(self) -> None:
        rule = rule_of(self.LIMIT)
        for _ in range(30):
            await self.uses(rule, None)
        assert lines(await self.uses(rule, None))[1] == 'RateLimit: "client";r=20'

    @pytest.mark.parametrize("error", [GatewayError(UPSTREAM_RESET), asyncio.CancelledError()])
    async def test_what_was_cut_takes_what_was_read(self, error: BaseException) -> None:
        rule = rule_of(self.LIMIT)
        with pytest.raises(type(error)):
            await self.uses(rule, 20, error)
        assert (await asked(rule))[1] is not None

    async def test_a_limit_of_requests_beside_it_counts_requests(self) -> None:
        rule = rule_of(CLIENT, self.LIMIT)
        await self.uses(rule, 5)
        left = [
            limit.left(key, 1000.0)[0] for limit, key in zip(rule.machine.limits, rule.keys(exchange()), strict=True)
        ]
        assert left == [1, 15]

    async def test_shadow_mode_counts_and_serves(self) -> None:
        rule = rule_of(RateLimit("client", 10.0, unit="tokens", mode="shadow"))
        await self.uses(rule, 50)
        ex = await self.uses(rule, 50)
        assert (ex.shadow, limited(ex)) == ("rate_limit", ["client"])
        key = rule.keys(exchange())[0]
        assert rule.machine.limits[0].missing(key, rule.machine.clock()) == pytest.approx(10.0)
