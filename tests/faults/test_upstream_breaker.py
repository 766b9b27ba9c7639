"""The breaker of an upstream as a whole: what several endpoints fail together, on real sockets."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from faults.test_endpoints import asked, explained, named, over, several
from faults.test_expanded_names import expanded, moved, neighbours, resolver
from faults.test_fallback import counted
from harness.answers import OK, answer, each_request, status_on_demand
from harness.client import code_of, request
from harness.dns import Addresses
from harness.patience import eventually
from harness.records import proxy
from harness.rig import TIMEOUTS, GatewayFor, Rig
from harness.upstream import Link, Upstream, refused_url

from gateway.config.fallback import Fallback
from gateway.config.records import Backoff, CircuitBreaker, Ejection, Hedge, Retries
from gateway.core import hedge as words
from gateway.observe import families
from gateway.policy.breaker import Breaker
from gateway.policy.breaker_store import State
from gateway.policy.member import DRAINED

pytestmark = pytest.mark.plain
__all__ = ["resolver"]

WHOLE = "; it is the breaker of the upstream, which judges its 3 endpoints together"
SCOPES = pytest.mark.parametrize("scope", ["upstream", "both"])


def rules(scope: str, threshold: int = 4, **changes: Any) -> CircuitBreaker:
    return CircuitBreaker(
        **({"enabled": True, "failure_threshold": threshold, "recovery_timeout": 3600.0, "scope": scope} | changes)
    )


def in_turns(endpoints: list[Upstream] | list[str], breaker: CircuitBreaker, **settings: Any) -> Any:
    return over(endpoints, balance="round_robin", circuit_breaker=breaker, **settings)


def own(rig: Rig) -> Breaker:
    """The breaker of the upstream."""
    found = rig.p.breaker
    assert isinstance(found, Breaker)
    return found


def half_open(rig: Rig) -> None:
    """Its recovery time is over, and one probe has said nothing."""
    own(rig).force(State.HALF_OPEN)


@SCOPES
async def test_one_bad_endpoint_does_not_open_it(gateway_for: GatewayFor, upstream: Upstream, scope: str) -> None:
    async with several(named("a"), named("b", 500), named("c")) as endpoints:
        rig = await gateway_for(upstream, proxies=(in_turns(endpoints, rules(scope, 2)),))
        found = await asked(rig, 30)
        assert found == ({"a": 10, "500": 10, "c": 10} if scope == "upstream" else {"a": 14, "500": 2, "c": 14})
        assert (own(rig).state, own(rig).failures) == (State.CLOSED, 0)
        states = [explained(rig)[each.url]["breaker"] for each in endpoints]
        assert states == (["off"] * 3 if scope == "upstream" else ["closed", "open", "closed"])
        assert rig.gateway.state()["p"]["breaker"] == "closed"


@SCOPES
async def test_one_that_fails_while_the_good_ones_take_their_time_does_not_open_it(
    gateway_for: GatewayFor, upstream: Upstream, scope: str
) -> None:
    released = asyncio.Event()

    async def slow(link: Link) -> None:
        while True:
            await link.request()
            await released.wait()
            await link.send(answer(b"good"))

    async with several(slow, named("b", 500), slow) as endpoints:
        rig = await gateway_for(upstream, proxies=(in_turns(endpoints, rules(scope, 2)),))
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(asked(rig, 1)) for _ in range(15)]
            await eventually(lambda: sum(len(each.requests) for each in endpoints) == 15, "all are there")
            await eventually(lambda: sum(task.done() for task in running) == len(endpoints[1].requests), "b has failed")
            failing = own(rig).failures  # with a breaker of its own, those that came before it opened
            assert (own(rig).state, failing >= 2) == (State.CLOSED, True)
            shown = explained(rig)[""]["breaker" if scope == "upstream" else "upstream_breaker"]
            assert (shown["callers"]["of"], shown["callers"]["in_a_row"]) == ("endpoints", 1)
            released.set()
        found = sum((task.result() for task in running), Counter())
        assert found == {"good": 15 - failing, "500": failing}


@SCOPES
async def test_endpoints_that_fail_together_open_it_at_the_threshold_of_all(
    gateway_for: GatewayFor, upstream: Upstream, scope: str
) -> None:
    async with several(*(named(name, 500) for name in "abc")) as endpoints:
        rig = await gateway_for(upstream, proxies=(in_turns(endpoints, rules(scope)),))
        assert await asked(rig, 9) == {"500": 4, "breaker_open": 5}
        assert sum(len(each.requests) for each in endpoints) == 4, "no endpoint is asked while it is open"
        response = await rig.ask()
        assert (code_of(response), response.get("x-circuit-breaker")) == ("breaker_open", b"open")
        line = await rig.log.last(10)
        assert (line["circuit_state"], line["breaker"], line["attempts"]) == ("open", "upstream", 0)
        explanation = explained(rig)[""]
        assert (explanation["verdict"], explanation["reason"]) == ("refuse", "breaker_open")
        assert explanation["sentence"].endswith(f"4 failures in a row (3 endpoints), rule failure_threshold 4{WHOLE}")
        shown = explanation["breaker" if scope == "upstream" else "upstream_breaker"]
        assert (shown["scope"], shown["state"], shown["moves"][-1]["cause"]) == (
            "upstream", "open", "failure_threshold"
        )  # fmt: skip
        assert [each["status"] for each in shown["moves"][-1]["outcomes"]] == [500] * 4
        assert (explanation["upstream_breaker"] is None) is (scope == "upstream")
        assert rig.gateway.state()["p"]["breaker"] == "open"
        text = counted(rig)
        assert 'gateway_circuit_breaker_state{proxy="p"} 1' in text
        assert 'transitions_total{proxy="p",from="closed",to="open",reason="failure_threshold"} 1' in text
        assert rig.gateway.reset_breaker("p", "ann")
        assert (own(rig).state, (await asked(rig, 1))["500"]) == (State.CLOSED, 1)


async def test_a_reset_closes_all_of_them(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async with several(*(named(name, 500) for name in "ab")) as endpoints:
        rig = await gateway_for(upstream, proxies=(in_turns(endpoints, rules("both", 2)),))
        assert await asked(rig, 3) == {"500": 2, "breaker_open": 1}
        for each in rig.p.endpoints:
            each.breaker.force(State.OPEN)
        assert rig.gateway.reset_breaker("p")
        assert {each.state for each in rig.p.breakers} == {State.CLOSED}


@SCOPES
async def test_with_a_single_endpoint_it_is_the_only_one(
    gateway_for: GatewayFor, upstream: Upstream, scope: str
) -> None:
    upstream.behaviour = status_on_demand()
    rig = await gateway_for(upstream, circuit_breaker=rules(scope, 2))
    assert len(rig.p.breakers) == 1
    assert await asked(rig, 3, "/status/503") == {"503": 2, "breaker_open": 1}
    explanation = rig.gateway.explain("p")
    assert explanation is not None
    assert explanation["sentence"].endswith("rule failure_threshold 2")


@SCOPES
@pytest.mark.parametrize(("status", "after"), [(200, State.CLOSED), (500, State.OPEN)])
async def test_a_probe_decides(
    gateway_for: GatewayFor, upstream: Upstream, scope: str, status: int, after: State
) -> None:
    async with several(None, None) as endpoints:
        rig = await gateway_for(upstream, proxies=(in_turns(endpoints, rules(scope)),))
        half_open(rig)
        assert explained(rig)[""]["verdict"] == "probe"
        client = await rig.connect()
        await client.send(request())
        link = await endpoints[0].link()
        await link.request()
        assert await asked(rig, 5) == {"breaker_open": 5}, "the probe has the only place"
        assert "1 of 1 probes are inside" in explained(rig)[""]["sentence"]
        await link.send(answer(b"x", status=status))
        assert (await client.response()).status == status
        await eventually(lambda: own(rig).state is after)
        assert [move.cause for move in own(rig).moves][-1] == ("probe_succeeded" if status == 200 else "probe_failed")
        line = await rig.log.last(6)
        assert (line["circuit_state"], "breaker" in line) == ("half-open", False)


async def test_a_probe_that_an_endpoint_s_breaker_rejects_gives_its_place_back(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    async with several(named("a"), named("b")) as endpoints:
        rig = await gateway_for(upstream, proxies=(in_turns(endpoints, rules("both")),))
        for each in rig.p.endpoints:
            each.breaker.force(State.OPEN)
        half_open(rig)
        assert await asked(rig, 5) == {"breaker_open": 5}
        assert (own(rig).state, own(rig).probes, own(rig).idle) == (State.HALF_OPEN, 0, True)
        assert explained(rig)[""]["sentence"].endswith("the breakers of all 2 endpoints keep requests away")
        line = await rig.log.last(5)
        assert (line["circuit_state"], "breaker" in line) == ("open", False)
        rig.p.endpoints[1].breaker.reset()
        assert await asked(rig, 2) == {"b": 2}
        assert own(rig).state is State.CLOSED


@SCOPES
async def test_a_probe_whose_caller_leaves_says_nothing(
    gateway_for: GatewayFor, upstream: Upstream, scope: str
) -> None:
    async with several(None, named("b")) as endpoints:
        rig = await gateway_for(upstream, proxies=(in_turns(endpoints, rules(scope)),))
        half_open(rig)
        client = await rig.connect()
        await client.send(request())
        await (await endpoints[0].link()).request()
        client.close()
        await rig.settled()
        assert (own(rig).state, own(rig).probes, own(rig).idle) == (State.HALF_OPEN, 0, True)
        assert await asked(rig, 1) == {"b": 1}
        assert own(rig).state is State.CLOSED


async def test_what_no_endpoint_may_get_teaches_it_nothing(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async with several(named("a"), named("b")) as endpoints:
        rig = await gateway_for(upstream, proxies=(in_turns(endpoints, rules("upstream", 1)),))
        for each in rig.p.endpoints:
            each.member.set(DRAINED, on=True)
        assert await asked(rig, 3) == {"no_healthy_endpoint": 3}
        assert (own(rig).state, own(rig).failures, own(rig).idle) == (State.CLOSED, 0, True)


@SCOPES
async def test_in_shadow_mode_it_rejects_nothing(gateway_for: GatewayFor, upstream: Upstream, scope: str) -> None:
    async with several(*(named(name, 500) for name in "abc")) as endpoints:
        rig = await gateway_for(upstream, proxies=(in_turns(endpoints, rules(scope, mode="shadow")),))
        assert await asked(rig, 8) == {"500": 8}
        lines = await rig.log.wait(8)
        assert [line["shadow"] for line in lines] == [""] * 4 + ["breaker_open"] * 4
        assert [line.get("breaker", "") for line in lines] == [""] * 4 + ["upstream"] * 4
        assert "without the breaker's shadow mode: a request would be refused" in explained(rig)[""]["sentence"]
        assert own(rig).state is State.OPEN


@SCOPES
async def test_each_attempt_is_an_outcome_of_it_and_retries_do_not_go_on(
    gateway_for: GatewayFor, upstream: Upstream, scope: str
) -> None:
    retries = Retries(5, ("connect",), backoff=Backoff(0.0, 0.0))
    rig = await gateway_for(
        upstream, proxies=(in_turns([refused_url(), refused_url()], rules(scope, 3), retries=retries),)
    )
    response = await rig.ask()
    assert code_of(response) == "dial_failed"
    assert [outcome.reason for outcome in own(rig).moves[-1].outcomes] == ["dial_failed"] * 3
    line = await rig.log.last()
    assert (line["attempts"], line["retries"]["failures"], line["breaker"]) == (3, ["connect"] * 2, "upstream")
    assert line["retries"]["withheld"] == "breaker"


async def test_a_retry_that_succeeds_elsewhere_is_a_success_of_it(gateway_for: GatewayFor, upstream: Upstream) -> None:
    retries = Retries(2, ("500",), backoff=Backoff(0.0, 0.0))
    async with several(named("a", 500), named("b")) as endpoints:
        rig = await gateway_for(upstream, proxies=(in_turns(endpoints, rules("upstream", 2), retries=retries),))
        assert await asked(rig, 10) == {"b": 10}
        assert (own(rig).state, own(rig).failures) == (State.CLOSED, 0)


@SCOPES
async def test_the_fallback_takes_over(gateway_for: GatewayFor, upstream: Upstream, scope: str) -> None:
    upstream.behaviour = named("spare")
    async with several(named("a", 500), named("b", 500)) as endpoints:
        spare = proxy("spare", "/spare", upstream.url, access_rule="true", timeouts=TIMEOUTS)
        first = in_turns(endpoints, rules(scope, 2), fallback=Fallback(("breaker",), upstream="spare"))
        rig = await gateway_for("", proxies=(first, spare))
        assert await asked(rig, 5) == {"500": 2, "spare": 3}
        line = await rig.log.last(5)
        whose = {"breaker": "upstream", "of": "p"}
        assert line["fallback"] == {"cause": "breaker", "reason": "breaker_open", "upstream": ""} | whose
        assert "breaker" not in line, "that of the upstream of the fallback has rejected nothing"
        assert "instead, the fallback at" in explained(rig)[""]["sentence"]


@SCOPES
async def test_no_hedge_is_sent_beside_a_probe(gateway_for: GatewayFor, upstream: Upstream, scope: str) -> None:
    """A second attempt asks for a place of its own."""
    async with several(None, None) as endpoints:
        rig = await gateway_for(upstream, proxies=(in_turns(endpoints, rules(scope), hedge=Hedge(0.02)),))
        half_open(rig)
        client = await rig.connect()
        await client.send(request())
        link = await endpoints[0].link()
        await link.request()
        withheld = families.HEDGES_WITHHELD + words.WITHHELD.index(words.ENDPOINT)
        await eventually(lambda: any(ex.hedge and ex.hedge.withheld for ex in rig.gateway.server.running()))
        await link.send(OK)
        assert (await client.response()).status == 200
        line = await rig.log.last()
        assert (line["hedge"]["withheld"], line["attempts"], endpoints[1].accepted) == (words.ENDPOINT, 1, 0)
        assert "breaker" not in line
        rig.gateway.sample()
        assert rig.gateway.counters.ints[dict(rig.gateway.counters.live())["p"] + withheld] == 1
        assert own(rig).state is State.CLOSED


async def test_both_attempts_of_a_hedge_teach_it(gateway_for: GatewayFor, upstream: Upstream) -> None:
    async with several(None, None) as endpoints:
        rig = await gateway_for(upstream, proxies=(in_turns(endpoints, rules("upstream", 2), hedge=Hedge(0.02)),))
        client = await rig.connect()
        await client.send(request())
        links = [await each.link() for each in endpoints]
        for link in links:
            await link.request()
        await links[0].send(answer(b"no", status=500))
        await eventually(lambda: own(rig).failures == 1, "it has judged the first attempt")
        await links[1].send(answer(b"no", status=500))
        assert (await client.response()).status == 500
        await eventually(lambda: own(rig).state is State.OPEN)


@SCOPES
async def test_shares_slow_calls_and_callers_are_those_of_all_endpoints(
    gateway_for: GatewayFor, upstream: Upstream, scope: str
) -> None:
    slow = rules(scope, 0, slow_call=1e-6, slow_rate=1.0, minimum_requests=4, distinct_callers=2)
    async with several(named("a"), named("b"), named("c")) as endpoints:
        rig = await gateway_for(upstream, trusted_proxies=("127.0.0.0/8",), proxies=(in_turns(endpoints, slow),))
        assert (await asked(rig, 9, "/", "X-Forwarded-For: 192.0.2.1")).total() == 9
        assert own(rig).state is State.CLOSED, "one caller alone opens it for no one"
        found = await asked(rig, 3, "/", "X-Forwarded-For: 192.0.2.2")
        assert found["breaker_open"] == 2
        assert [(move.cause, move.figures and move.figures.callers) for move in own(rig).moves] == [("slow_rate", 2)]


async def test_the_statuses_that_are_failures_are_those_of_its_settings(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    listed = rules("upstream", 3, failure_statuses=("404",))
    async with several(named("a", 404), named("b", 404), named("c", 500)) as endpoints:
        rig = await gateway_for(upstream, proxies=(in_turns(endpoints, listed),))
        assert await asked(rig, 6) == {"404": 4, "500": 2}
        assert own(rig).failures == 0
        await rig.change(endpoints=rig.p.settings.endpoints[:2])
        assert await asked(rig, 5) == {"404": 3, "breaker_open": 2}


@SCOPES
async def test_a_reload_keeps_it(gateway_for: GatewayFor, upstream: Upstream, scope: str) -> None:
    async with several(named("a", 500), named("b", 500), named("c")) as endpoints:
        rig = await gateway_for(upstream, proxies=(in_turns(endpoints[:2], rules(scope, 2)),))
        assert await asked(rig, 3) == {"500": 2, "breaker_open": 1}
        await rig.change(endpoints=in_turns(endpoints, rules(scope)).upstream.endpoints, max_concurrent=9)
        assert await asked(rig, 3) == {"breaker_open": 3}
        await rig.change(circuit_breaker=rules("endpoint", 2))
        assert (rig.p.breaker, (await asked(rig, 3)).total()) == (None, 3)


async def test_addresses_of_a_name_come_and_go_and_it_stays(
    gateway_for: GatewayFor, upstream: Upstream, resolver: Addresses
) -> None:
    async with neighbours() as (one, two, three):
        for each in (one, two, three):
            each.behaviour = named("x", 500)
        rig = await gateway_for(upstream, proxies=(expanded(one.port, circuit_breaker=rules("both", 6)),))
        assert await asked(rig, 4) == {"500": 4}
        before = own(rig)
        for addresses in (["127.0.0.3"], ["127.0.0.2", "127.0.0.3"]):
            await moved(rig, resolver, *addresses)
            assert await asked(rig, 1) == {"500": 1}
        assert (own(rig), before.state) == (before, State.OPEN)
        await moved(rig, resolver, "127.0.0.1")
        assert await asked(rig, 1) == {"breaker_open": 1}


async def test_the_state_of_a_proxy_leaves_out_endpoints_that_are_away(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    """One is ejected with its breaker closed, the other one has an open breaker: nothing is served."""
    ejects = Ejection(True, consecutive_failures=1, base_time=3600, max_time=3600, max_share=0.5)
    async with several(named("a", 500), named("b", 500)) as endpoints:
        breaker = rules("endpoint", 2)
        rig = await gateway_for(upstream, proxies=(in_turns(endpoints, breaker, ejection=ejects, panic=0.0),))
        assert await asked(rig, 4) == {"500": 3, "breaker_open": 1}
        assert sorted(explained(rig)[each.url]["breaker"] for each in endpoints) == ["closed", "open"]
        assert 'gateway_circuit_breaker_state{proxy="p"} 1' in counted(rig)
        assert (rig.gateway.state()["p"]["breaker"], rig.gateway.breakers()["p"]["breaker"]) == ("open", "open")
        rig.gateway.sample()
        base = dict(rig.gateway.counters.live())["p"]
        assert rig.gateway.counters.floats[base + families.OPENED_AT] > 0.0


async def test_many_callers_at_once_lose_no_permit(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """Endpoints that fail now and then, callers that leave: at the end no permit is taken."""
    count = 0

    def now_and_then(_: object) -> bytes:
        nonlocal count
        count += 1
        return answer(b"x", status=500 if count % 3 else 200)

    async with several(*(each_request(now_and_then) for _ in range(3))) as endpoints:
        breaker = rules("both", 3, recovery_timeout=0.001, half_open_requests=2)
        rig = await gateway_for(upstream, proxies=(in_turns(endpoints, breaker, max_concurrent=8),))

        async def caller(number: int) -> None:
            for turn in range(20):
                client = await rig.connect()
                await client.send(request())
                if (number + turn) % 4:
                    await client.response()
                client.close()

        await asyncio.gather(*(caller(number) for number in range(8)))
        await rig.settled()
        assert all(each.idle for each in rig.p.breakers)
        assert all(each.probes == 0 for each in rig.p.breakers)
