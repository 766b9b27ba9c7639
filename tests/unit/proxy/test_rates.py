from __future__ import annotations

from dataclasses import replace

import pytest
from unit.page.stage import page_stage
from unit.scene import Clock

from gateway.config.records import RateLimit, Route, Upstream
from gateway.page.layout import ORDER
from gateway.page.lone import ALONE, LoneStores, following
from gateway.policy.stores import MemoryStores
from gateway.proxy.layers.limit_rate import RateRule
from gateway.proxy.rates import Rates

LIMIT = RateLimit("client", 2.0, per=60.0)


def route(*limits: RateLimit, name: str = "p", weight: int = 1, active: bool = True) -> Route:
    return Route(name, "/", name, rate_limits=limits, rate_weight=weight, active=active)


def rule(rates: Rates, of: Route) -> RateRule:
    made = rates.of(of)
    assert made is not None
    return made


def used_up(made: RateRule) -> bool:
    """Whether the bucket of key 7 has no token for one more."""
    return made.machine.try_take([7] * len(made.settings)) is not None


@pytest.fixture
def rates() -> Rates:
    return Rates(MemoryStores(Clock()))


def test_a_route_without_limits_has_none(rates: Rates) -> None:
    assert rates.of(route()) is None


def test_the_numbers_are_those_of_the_settings(rates: Rates) -> None:
    made = rule(rates, route(LIMIT, RateLimit("all", 10.0, burst=30, name="a", mode="shadow"), weight=2))
    mine, shared = made.machine.limits
    assert (mine.name, mine.numbers.interval, mine.burst, mine.shadow) == ("client", 30.0, 2, False)
    assert (shared.name, shared.numbers.interval, shared.burst, shared.shadow) == ("a", 0.1, 30, True)
    assert made.machine.weight == 2


@pytest.mark.parametrize(
    ("changed", "known"),
    [
        (LIMIT, True),
        (replace(LIMIT, rate=1.0, burst=1), True),
        (replace(LIMIT, fields="never", per=600.0), True),
        (replace(LIMIT, mode="shadow"), True),
        (replace(LIMIT, key="principal"), False),
        (replace(LIMIT, name="other"), False),
        (replace(LIMIT, max_keys=7), False),
    ],
)
def test_buckets_are_known_again(rates: Rates, changed: RateLimit, known: bool) -> None:
    before = rule(rates, route(LIMIT))
    rates.adopt([route(LIMIT)])
    assert [used_up(before) for _ in range(3)] == [False, False, True]
    after = rule(rates, route(changed))
    rates.adopt([route(changed)])
    assert used_up(after) is known
    assert used_up(rule(rates, route(changed, name="q"))) is False, "another proxy has its own"


def test_shared_buckets_are_those_of_all_proxies(rates: Rates) -> None:
    shared = replace(LIMIT, shared=True, burst=10)
    cheap, dear = route(shared, name="p"), route(shared, name="q", weight=8)
    assert not used_up(rule(rates, dear))
    assert [used_up(rule(rates, cheap)) for _ in range(3)] == [False, False, True]


def test_what_no_active_route_has_is_forgotten(rates: Rates) -> None:
    routes = [route(LIMIT), route(LIMIT, name="q")]
    for each in routes:
        made = rule(rates, each)
        assert [used_up(made) for _ in range(3)][-1]
    rates.adopt([routes[0], replace(routes[1], active=False)])
    assert used_up(rule(rates, routes[0]))
    assert not used_up(rule(rates, routes[1]))


def test_buckets_go_on_in_the_stores_that_hold_now() -> None:
    """The only worker shares them while another process takes over from it."""
    settings = route(LIMIT, RateLimit("all", 2.0, per=60.0))
    with page_stage(1) as stage:
        stage.supervisor.cells[ORDER] = ALONE
        page, stores = stage.pages[0], LoneStores(stage.pages[0])
        rates = Rates(stores)
        made = rule(rates, settings)
        assert [used_up(made) for _ in range(3)] == [False, False, True]
        for shared in (True, False):
            rates.move()
            assert used_up(made)
            stage.supervisor.cells[ORDER] = following(int(page.cells[ORDER]), shared=shared)
            stores.obey(rates.move)
            assert bool(page._rates) is shared
            assert used_up(made)
            assert used_up(rule(rates, settings)), "another generation has the same"


def test_the_one_bucket_of_all_takes_no_table(rates: Rates) -> None:
    made = rule(rates, route(RateLimit("all", 1.0, max_keys=1_000_000)))
    assert len(made.machine.limits[0].buckets.store.table.hashes) == 8


TOKENS = replace(LIMIT, unit="tokens", burst=2)


def test_tokens_and_requests_have_buckets_of_their_own(rates: Rates) -> None:
    of_tokens = rule(rates, route(TOKENS))
    assert of_tokens.machine.late == [0]
    of_tokens.machine.charge([7], 100)
    assert used_up(of_tokens)
    assert not used_up(rule(rates, route(LIMIT)))
    assert used_up(rule(rates, route(replace(TOKENS, rate=1.0)))), "known again"


def test_what_ends_after_its_limit_is_gone_charges_nothing(rates: Rates) -> None:
    """Its memory may be that of another limit by then."""
    before = rule(rates, route(TOKENS))
    store = before.machine.limits[0].buckets.store
    rates.adopt([route()])
    before.machine.charge([7], 100)
    assert not used_up(before)
    assert store.table.counts[0] == 0
    assert not used_up(rule(rates, route(TOKENS)))


def test_what_was_made_before_a_limit_was_removed_is_not_limited_by_it(rates: Rates) -> None:
    """Its memory and its lock may be those of another limit by then. The other limits keep their places."""
    kept = replace(LIMIT, name="kept")
    before = rule(rates, route(LIMIT, kept))
    gone, other = (limit.buckets.store for limit in before.machine.limits)
    rates.adopt([route(kept)])
    rejections = [before.machine.try_take([7, 7]) for _ in range(3)]
    assert [rejection and rejection.limits for rejection in rejections] == [None, None, [1]]
    assert (gone.table.counts[0], other.table.counts[0]) == (0, 1)
    assert before.machine.limits[0].left(7, 1000.0) == (2, 0)


ALL = RateLimit("all", 2.0, per=60.0)


def upstream(name: str = "connection/shop", limit: RateLimit = ALL) -> Upstream:
    return Upstream(f"upstream {name}", (), rate_limits=(limit,))


def takes(rates: Rates, of: Upstream) -> bool:
    """Whether there was a token, which is taken."""
    rule = rates.of_upstream(of)
    assert rule is not None
    return rule.machine.try_take([rule.key_of_all]) is None


def test_an_upstream_without_limits_has_none(rates: Rates) -> None:
    assert rates.of_upstream(Upstream("upstream u", ())) is None


def test_all_who_go_to_an_upstream_take_from_its_bucket_alone(rates: Rates) -> None:
    assert [takes(rates, upstream()) for _ in range(3)] == [True, True, False]
    assert takes(rates, upstream("connection/other/shop"))
    mine = rule(rates, route(ALL, name="upstream"))
    assert mine.machine.try_take([mine.key_of_all]) is None, "a proxy has its own, whatever its name"


def test_the_bucket_of_an_upstream_outlives_a_reload_and_not_the_upstream(rates: Rates) -> None:
    assert [takes(rates, upstream()) for _ in range(2)] == [True, True]
    fewer = upstream(limit=replace(ALL, rate=1.0))
    rates.adopt([], [fewer])
    assert not takes(rates, fewer)
    rates.adopt([], [upstream("connection/renamed")])
    assert list(rates._buckets) == [], "one that was never asked has none, and the other is forgotten"
    assert [takes(rates, upstream()) for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (replace(ALL, rate=10.0, per=86_400.0), replace(ALL, rate=10.0, per=1.0)),
        (replace(ALL, rate=1.0, per=1.0, burst=100), replace(ALL, rate=1.0, per=1.0, burst=10)),
        (replace(ALL, rate=10.0, per=1.0), replace(ALL, rate=10.0, per=86_400.0)),
        (replace(ALL, rate=1.0, per=1.0, burst=10), replace(ALL, rate=1.0, per=1.0, burst=100)),
    ],
)
def test_an_old_generation_takes_tokens_by_the_numbers_that_apply(first: RateLimit, second: RateLimit) -> None:
    clock = Clock()
    rates = Rates(MemoryStores(clock), clock)
    old, new = (rates.of_upstream(upstream(limit=limit)) for limit in (first, second))
    assert old is not None
    assert new is not None
    rates.adopt([], [upstream(limit=first)])
    assert old.machine.try_take([7]) is None
    rates.adopt([], [upstream(limit=second)])
    admitted = 0
    while old.machine.try_take([7]) is None:
        admitted += 1
    assert admitted == second.tokens - 1, "as many as the new numbers leave"
    interval = second.per / second.rate
    for _ in range(3):
        for each in (old, new):
            rejection = each.machine.try_take([7])
            assert rejection is not None
            assert rejection.wait == pytest.approx(interval)
            clock.now += interval
            assert each.machine.try_take([7]) is None


def shop(*limits: RateLimit) -> Upstream:
    return Upstream("upstream connection/shop", (), rate_limits=limits)


def test_all_routes_of_an_upstream_wait_in_one_line_until_its_limits_change(rates: Rates) -> None:
    limit = RateLimit("all", 1.0)
    first, again = rates.of_upstream(shop(limit)), rates.of_upstream(shop(limit))
    assert first is not None
    assert again is not None
    assert (first.places is not None, again.places is first.places) == (True, True)
    changed = rates.of_upstream(shop(replace(limit, rate=2.0)))
    assert changed is not None
    assert changed.places is not first.places
    rates.adopt((), ())
    after = rates.of_upstream(shop(replace(limit, rate=2.0)))
    assert after is not None
    assert after.places is not changed.places, "an upstream that is gone leaves nothing"


@pytest.mark.parametrize(("rate", "missing"), [(1.0, 3.0), (2.0, 1.5)])
def test_a_reload_keeps_what_is_reserved_of_an_upstream(rate: float, missing: float) -> None:
    clock = Clock()
    rates, limit = Rates(MemoryStores(clock), clock), RateLimit("all", 1.0, burst=1)
    made = rates.of_upstream(shop(limit))
    assert made is not None
    rates.adopt((), [shop(limit)])
    for _ in range(3):
        assert made.machine.reserve(made.keys_of_all, clock.now + 60.0) is not None
    rates.adopt((), [shop(replace(limit, rate=rate))])
    assert made.machine.limits[0].missing(made.key_of_all, clock.now) == missing


def test_those_of_a_proxy_have_no_line(rates: Rates) -> None:
    assert rule(rates, route(LIMIT)).places is None
