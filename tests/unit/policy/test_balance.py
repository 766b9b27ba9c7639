from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from unit.groups import dice, members, weighted

from gateway.policy.balance import POINTS, LeastRequest, Random, RingHash, RoundRobin, drawn, hashed
from gateway.policy.member import Member


def rolls(*numbers: float) -> Callable[[], float]:
    """Random numbers that are none."""
    return iter(numbers).__next__


def test_round_robin_takes_turns_as_nginx_does() -> None:
    several = members(5, 1, 1)
    balance = RoundRobin()
    assert "".join(balance.choose(weighted(several), b"", 0.0).name for _ in range(14)) == "aabacaa" * 2


def test_the_turns_go_on_with_a_new_balance() -> None:
    several = weighted(members(1, 1, 1))
    assert [RoundRobin().choose(several, b"", 0.0).name for _ in range(6)] == list("abcabc")


@pytest.mark.parametrize(("number", "index"), [(0.0, 0), (0.24, 0), (0.25, 1), (0.74, 1), (0.75, 2), (0.999, 2)])
def test_a_number_falls_on_its_share(number: float, index: int) -> None:
    assert drawn(weighted(members(1, 2, 1)), number) == index


def test_a_number_that_rounding_leaves_over_falls_on_the_last() -> None:
    assert drawn(weighted(members(1, 1)), 1.0) == 1


def test_random() -> None:
    several = weighted(members(1, 1))
    balance = Random(rolls(0.1, 0.9))
    assert [balance.choose(several, b"", 0.0).name for _ in range(2)] == ["a", "b"]


@pytest.mark.parametrize(
    ("in_flight", "weights", "chosen"),
    [
        ((0, 0), (1, 1), "a"),
        ((1, 0), (1, 1), "b"),
        ((0, 1), (1, 1), "a"),
        ((2, 2), (1, 1), "a"),
        ((2, 1), (2, 1), "a"),
        ((3, 1), (2, 1), "b"),
    ],
)
def test_least_request_takes_the_one_with_less_for_its_weight(
    in_flight: tuple[int, int], weights: tuple[int, int], chosen: str
) -> None:
    several = members(*weights)
    for member, count in zip(several, in_flight, strict=True):
        member.in_flight = count
    assert LeastRequest(rolls(0.0, 0.0)).choose(weighted(several), b"", 0.0).name == chosen


def test_least_request_counts_what_failed_early() -> None:
    several = members(1, 1)
    several[0].owe(5.0)
    assert LeastRequest(rolls(0.0, 0.0)).choose(weighted(several), b"", 4.0).name == "b"
    assert LeastRequest(rolls(0.0, 0.0)).choose(weighted(several), b"", 5.0).name == "a"


def test_least_request_of_one_asks_no_further() -> None:
    assert LeastRequest(rolls(0.5)).choose(weighted(members(1)), b"", 0.0).name == "a"


def test_the_second_draw_leaves_the_first_out() -> None:
    several = members(1, 1, 1)
    several[1].in_flight = 1
    assert LeastRequest(rolls(0.5, 0.0)).choose(weighted(several), b"", 0.0).name == "a"
    assert LeastRequest(rolls(0.5, 0.9)).choose(weighted(several), b"", 0.0).name == "c"


def ring(several: list[Member], most: float = 0.0) -> RingHash:
    return RingHash(several, [member.weight for member in several], dice().random, most)


def test_the_hash_is_the_same_in_each_process() -> None:
    assert hashed(b"key") == 14878992315609337077


def test_an_equal_key_goes_to_the_same_endpoint_also_of_another_gateway() -> None:
    one, other = members(1, 1, 1), members(1, 1, 1)
    here, there = ring(one), ring(other)
    for number in range(100):
        key = b"%d" % number
        assert here.choose(weighted(one), key, 0.0).name == there.choose(weighted(other), key, 0.0).name


def test_a_request_without_a_key_goes_where_the_fewest_are() -> None:
    several = members(1, 1)
    several[0].in_flight = 5
    balance = ring(several)
    assert {balance.choose(weighted(several), b"", 0.0).name for _ in range(20)} == {"b"}


def test_a_key_passes_an_endpoint_that_has_more_than_its_share() -> None:
    several = members(1, 1, 1)
    balance = ring(several, 1.25)
    first = balance.choose(weighted(several), b"key", 0.0)
    seen = []
    for _ in range(6):
        member = balance.choose(weighted(several), b"key", 0.0)
        member.in_flight += 1
        seen.append(member)
    assert seen[0] is first
    assert max(member.in_flight for member in several) <= 3
    assert len(set(seen)) > 1


@pytest.mark.parametrize("seed", range(40))
def test_a_key_goes_to_the_next_on_the_ring_that_is_below_its_bound(seed: int) -> None:
    dice_ = random.Random(seed)
    weights = [dice_.randint(1, 4) for _ in range(4)]
    several, most = members(*weights), dice_.choice((1.0, 1.25, 2.0))
    balance = ring(several, most)
    points = sorted(
        (hashed(f"{member.name} {number}".encode()), member.name)
        for member in several
        for number in range(round(POINTS * member.weight / (sum(weights) / 4)))
    )
    for member in several:
        member.in_flight = dice_.randrange(6)
    away = dice_.randrange(4)
    usable = [member for at, member in enumerate(several) if at != away]
    running = sum(member.in_flight for member in usable) + 1
    share = {m.name: most * running * m.weight / sum(other.weight for other in usable) for m in usable}
    free = {m.name for m in usable if m.in_flight < share[m.name]}
    for number in range(50):
        key = b"%d" % number
        behind = [name for at, name in points if at >= hashed(key)] + [name for _, name in points]
        expected = next(name for name in behind if name in free)
        assert balance.choose(weighted(usable), key, 0.0).name == expected


def test_without_a_bound_nothing_is_passed() -> None:
    several = members(1, 1, 1)
    balance = ring(several)
    first = balance.choose(weighted(several), b"key", 0.0)
    first.in_flight = 1000
    assert balance.choose(weighted(several), b"key", 0.0) is first


def test_endpoints_that_are_not_on_the_ring_are_chosen_by_their_requests() -> None:
    """Those of another configuration: it does not happen, and is no error."""
    strangers = members(1, 1)
    strangers[0].in_flight = 1
    assert ring(members(1, 1)).choose(weighted(strangers), b"key", 0.0) is strangers[1]
    assert ring(members(1, 1), 1.25).choose(weighted(strangers), b"key", 0.0) is strangers[1]


def test_the_points_of_an_endpoint_follow_its_weight() -> None:
    several = members(1, 1000)
    balance = ring(several)
    keys = [balance.choose(weighted(several), b"%d" % number, 0.0).name for number in range(1000)]
    assert keys.count("b") > 900
