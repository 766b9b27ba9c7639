"""The sum of several maps shows what one map of one worker would show."""

from __future__ import annotations

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from gateway.control.metrics.blocks import TOGETHER
from gateway.control.metrics.exposition import Exposition
from gateway.control.metrics.summed import Summed
from gateway.observe import families
from gateway.observe.counters import CounterMap, Kind
from gateway.observe.metrics import Metrics
from gateway.observe.sheet import OTHER

GET, POST = 1, 3


def worker(name: str = "p") -> CounterMap:
    made = CounterMap()
    Metrics(made).retain([name])
    return made


def base(counters: CounterMap, name: str = "p") -> int:
    return dict(counters.live())[name]


def put(counters: CounterMap, cell: int, value: int, name: str = "p") -> None:
    counters.ints[base(counters, name) + cell] = value


def shown(counters: CounterMap) -> dict[tuple[str, str], float]:
    text = "".join(Exposition(counters).render(open_metrics=True)) + "# EOF\n"
    return {
        (sample.name, ",".join(f"{key}={value}" for key, value in sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_one_map_is_shown_as_it_is() -> None:
    first, unused = worker(), CounterMap()
    assert Summed([first, unused]).update([first]) is first
    assert Summed([unused, CounterMap()]).update([]) is unused


def test_counters_and_gauges_add_up() -> None:
    first, second = worker(), worker()
    for counters, number in ((first, 3), (second, 4)):
        put(counters, families.BYTES_IN, number * 1000)
        put(counters, families.IN_FLIGHT, number)
        put(counters, families.DURATION.at, number)
        counters.floats[base(counters) + families.DURATION.sum_at] = number / 4
        counters.floats[base(counters) + families.PHASE] = number / 8
        counters.ints[families.CONNECTIONS] = number
        counters.ints[families.GENERATION] = 9
    found = shown(Summed([first, second]).update([first, second]))
    assert found["gateway_request_bytes_total", "proxy=p"] == 7000
    assert found["gateway_in_flight", "proxy=p"] == 7
    assert found["gateway_request_duration_seconds_count", "proxy=p"] == 7
    assert found["gateway_request_duration_seconds_sum", "proxy=p"] == 1.75
    assert found["gateway_phase_seconds_total", f"proxy=p,phase={families.PHASES[0]}"] == 0.875
    assert found["gateway_connections", ""] == 7
    assert found["gateway_config_generation", ""] == 9


def test_of_a_process_that_is_gone_the_counts_stay_and_the_gauges_go() -> None:
    gone, serving = worker(), worker()
    put(gone, families.BYTES_IN, 5)
    put(gone, families.IN_FLIGHT, 5)
    put(gone, families.BREAKER_STATE, 1)
    gone.floats[base(gone) + families.OPENED_AT] = 1.0
    put(serving, families.IN_FLIGHT, 1)
    found = shown(Summed([gone, serving]).update([serving]))
    assert found["gateway_request_bytes_total", "proxy=p"] == 5
    assert found["gateway_in_flight", "proxy=p"] == 1
    assert found["gateway_circuit_breaker_state", "proxy=p"] == 0
    assert found["gateway_circuit_breaker_open_seconds_total", "proxy=p"] == 0


@pytest.mark.parametrize(("states", "worst"), [((0, 0), 0), ((0, 2), 2), ((2, 1), 1), ((1, 0), 1)])
def test_the_worst_breaker_is_shown(states: tuple[int, int], worst: int) -> None:
    maps = worker(), worker()
    for counters, state in zip(maps, states, strict=True):
        put(counters, families.BREAKER_STATE, state)
        put(counters, families.MODE, 2)
        put(counters, families.RATE_KEYS, 7)
    found = shown(Summed(maps).update(maps))
    assert found["gateway_circuit_breaker_state", "proxy=p"] == worst
    assert found["gateway_protection_mode", "proxy=p,protection=limiter"] == 2
    assert found["gateway_rate_limit_keys", "proxy=p,key=all"] == 7, "workers share the keys"


def test_gauges_of_which_workers_have_their_own_opinion_show_the_largest() -> None:
    gone, first, second = worker(), worker(), worker()
    put(gone, families.ENDPOINTS, 9)
    put(first, families.ENDPOINTS, 2)
    put(second, families.ENDPOINTS, 1)
    put(second, families.ENDPOINTS + 1, 1)
    for counters in (first, second):
        put(counters, families.LIMIT, 5)
    summed = Summed([gone, first, second])
    found = shown(summed.update([first, second]))
    states = {state: found["gateway_endpoints", f"proxy=p,state={state}"] for state in families.ENDPOINT_STATES}
    assert states == {"usable": 2, "down": 1, "ejected": 0, "drained": 0, "leaving": 0}
    assert found["gateway_concurrency_limit", "proxy=p"] == 5
    assert shown(summed.update([]))["gateway_concurrency_limit", "proxy=p"] == 0, "no process serves"


def test_a_float_that_is_gone_is_gone_from_the_sum() -> None:
    first, second = worker(), worker()
    first.floats[base(first) + families.PHASE] = 0.5
    summed, labels = Summed([first, second]), f"proxy=p,phase={families.PHASES[0]}"
    assert shown(summed.update([first, second]))["gateway_phase_seconds_total", labels] == 0.5
    Metrics(first).retain([])
    Metrics(first).retain(["p"])
    assert ("gateway_phase_seconds_total", labels) not in shown(summed.update([first, second]))


def test_without_exemplars_all_else_is_added_up() -> None:
    first, second = worker(), worker()
    summed = Summed([first, second])
    for number in (1, 2):
        put(first, families.BYTES_IN, number)
        found = shown(summed.update([first, second], exemplars=False))
        assert found["gateway_request_bytes_total", "proxy=p"] == number


def pair(counters: CounterMap, index: int, key: int, count: int) -> None:
    put(counters, families.REQUESTS.at + 2 * index, key)
    put(counters, families.REQUESTS.at + 2 * index + 1, count)


def test_requests_are_added_by_method_and_status_wherever_they_stand() -> None:
    first, second = worker(), worker()
    pair(first, 0, 200 * 16 + GET, 5)
    pair(first, 1, 404 * 16 + GET, 1)
    pair(second, 0, 404 * 16 + GET, 2)
    pair(second, 1, 200 * 16 + POST, 7)
    found = shown(Summed([first, second]).update([first, second]))
    assert {labels: value for (name, labels), value in found.items() if name == "gateway_requests_total"} == {
        "proxy=p,method=GET,status=200": 5,
        "proxy=p,method=GET,status=404": 3,
        "proxy=p,method=POST,status=200": 7,
    }


def test_requests_without_room_are_counted_together() -> None:
    first, second = worker(), worker()
    room = families.REQUESTS.room
    for index in range(room - 1):
        pair(first, index, (200 + index) * 16 + GET, 1)
        pair(second, index, (400 + index) * 16 + GET, 1)
    pair(second, room - 1, OTHER + 1, 4)
    found = shown(Summed([first, second]).update([first, second]))
    numbers = {labels: value for (name, labels), value in found.items() if name == "gateway_requests_total"}
    assert len(numbers) == room
    assert numbers["proxy=p,method=OTHER,status=other"] == room - 1 + 4
    assert sum(numbers.values()) == 2 * (room - 1) + 4


def test_the_newest_exemplar_is_shown() -> None:
    first, second = worker(), worker()
    for counters, at, name in ((first, 100.0, b"old"), (second, 200.0, b"new")):
        where = base(counters) + families.DURATION.exemplars
        put(counters, families.DURATION.at, 1)
        counters.floats[where], counters.floats[where + 1] = at, 0.001
        counters.bytes[(where + 3) * 8 : (where + 3) * 8 + 3] = name
        counters.ints[where + 2] = len(name)
    total = Summed([first, second]).update([first, second])
    text = "".join(Exposition(total).render(open_metrics=True))
    assert 'request_id="new"' in text
    assert 'request_id="old"' not in text


def test_a_proxy_that_no_serving_worker_has_is_forgotten() -> None:
    gone, first, second = worker("old"), worker(), worker()
    summed = Summed([gone, first, second])
    assert "old" in dict(summed.update([gone, first, second]).live())
    assert "old" not in dict(summed.update([first, second]).live())


def test_endpoints_add_up_and_are_up_when_all_who_serve_give_them_requests() -> None:
    gone, one, two = CounterMap(), CounterMap(), CounterMap()
    for counters, up in ((gone, 0), (one, 1), (two, 1)):
        at = counters.claim("ai http://a:1", Kind.ENDPOINT)
        assert at is not None
        counters.ints[at + families.ENDPOINT_UP] = up
        counters.ints[at + families.ENDPOINT_IN_FLIGHT] = 2
        counters.ints[at + families.ENDPOINT_REQUESTS + 1] = 5
    labels, summed = "upstream=ai,endpoint=http://a:1", Summed([gone, one, two])
    found = shown(summed.update([one, two]))
    assert found["gateway_endpoint_up", labels] == 1
    assert found["gateway_endpoint_in_flight", labels] == 4
    assert found["gateway_endpoint_requests_total", f"{labels},outcome=failure"] == 15
    two.ints[dict(two.live(Kind.ENDPOINT))["ai http://a:1"] + families.ENDPOINT_UP] = 0
    assert shown(summed.update([one, two]))["gateway_endpoint_up", labels] == 0
    for counters in (one, two):
        counters.release("ai http://a:1", Kind.ENDPOINT)
    assert ("gateway_endpoint_up", labels) not in shown(summed.update([one, two]))


def test_upstreams_of_fallbacks_add_up_but_for_their_limits_breakers_and_endpoints() -> None:
    gone, one, two = CounterMap(), CounterMap(), CounterMap()
    for counters, running, limit, state in ((gone, 9, 90, 1), (one, 2, 5, 0), (two, 1, 6, 2)):
        at = counters.claim("small", Kind.UPSTREAM)
        assert at is not None
        counters.ints[at + families.UPSTREAM_IN_FLIGHT] = running
        counters.ints[at + families.UPSTREAM_LIMIT] = limit
        counters.ints[at + families.UPSTREAM_BREAKER_STATE] = state
        counters.ints[at + families.UPSTREAM_BREAKER_MOVES] = 1
        counters.ints[at + families.UPSTREAM_ENDPOINTS] = running
    found = shown(Summed([gone, one, two]).update([one, two]))
    assert found["gateway_upstream_in_flight", "upstream=small"] == 3
    assert found["gateway_upstream_concurrency_limit", "upstream=small"] == 6
    assert found["gateway_upstream_circuit_breaker_state", "upstream=small"] == 2
    assert found["gateway_upstream_endpoints", "upstream=small,state=usable"] == 2, "as one worker counts them"
    moved = "upstream=small,from=closed,to=open,reason=failure_threshold"
    assert found["gateway_upstream_circuit_breaker_transitions_total", moved] == 3


def test_each_proxy_that_comes_is_shown_in_the_next_sum() -> None:
    """The list of names of before is given back to the memory, and the next one may lie where it was."""
    first, second = worker(), worker()
    summed = Summed([first, second])
    for number in range(100):
        for counters in (first, second):
            assert counters.claim(f"p{number}") is not None
        total = summed.update([first, second])
        assert f"p{number}" in dict(total.live())


def test_many_proxies_of_several_workers_are_added_one_like_the_other() -> None:
    """More than a block of them, some of which a worker has not, with figures that differ in each place."""
    names = [f"p{number}" for number in range(TOGETHER * 2 + 5)]
    maps = [CounterMap() for _ in range(3)]
    for at, counters in enumerate(maps):
        Metrics(counters).retain([name for number, name in enumerate(names) if (number + at) % 7])
        for number, (name, start) in enumerate(counters.live()):
            put(counters, families.BYTES_IN, number * 10 + at, name)
            put(counters, families.IN_FLIGHT, number + at, name)
            put(counters, families.LIMIT, 5 + (at if number % 9 == 0 else 0), name)
            counters.floats[start + families.PHASE] = number / 4 + at
            for pair in range(number % 12):  # more than the first pairs, in another order in the last worker
                key = (200 + (pair if at < 2 else number % 12 - pair)) * 16 + GET
                put(counters, families.REQUESTS.at + 2 * pair, key, name)
                put(counters, families.REQUESTS.at + 2 * pair + 1, 1000 + pair, name)
    serving = maps[:2]
    found = shown(Summed(maps).update(serving))
    alone = [shown(counters) for counters in maps]
    shown_names = {name for counters in serving for name, _ in counters.live()}
    for name in sorted(shown_names):
        for family in ("gateway_request_bytes_total", "gateway_phase_seconds_total", "gateway_requests_total"):
            of = [{key: value for key, value in each.items() if key[0] == family} for each in alone]
            for key in {key for each in of for key in each if f"proxy={name}" in key[1].split(",")}:
                assert found[key] == sum(each.get(key, 0) for each in of), key
        key = "gateway_in_flight", f"proxy={name}"
        assert found[key] == sum(each.get(key, 0) for each in alone[:2])
        key = "gateway_concurrency_limit", f"proxy={name}"
        assert found[key] == max(each.get(key, 0) for each in alone[:2])
