"""Who gets how many requests: exact turns, shares by weight, slow and failing endpoints, and what a ring moves."""

from __future__ import annotations

import heapq
import math
import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.groups import FAILURE, SUCCESS, GroupScene, members, weighted
from unit.scene import Clock

from gateway.core.outcome import Outcome
from gateway.policy.balance import Balance, LeastRequest, Random, RingHash, RoundRobin
from gateway.policy.group import Rules
from gateway.policy.member import Member

KEYS = [b"user-%d" % number for number in range(20_000)]


@given(st.lists(st.integers(1, 20), min_size=1, max_size=8), st.integers(0, 200))
def test_round_robin_is_exact_in_each_window(weights: list[int], skipped: int) -> None:
    several, balance, total = members(*weights), RoundRobin(), sum(weights)
    names = [balance.choose(weighted(several), b"", 0.0).name for _ in range(skipped + 2 * total)]
    for begin in range(skipped, skipped + total):
        window = Counter(names[begin : begin + total])
        assert window == {member.name: member.weight for member in several}


@pytest.mark.parametrize("make", [LeastRequest, Random])
@pytest.mark.parametrize("weights", [(1, 1), (1, 1, 1, 1), (1, 2, 3), (10, 1, 1), (1000, 1)])
def test_shares_follow_the_weights(make: Callable[[Callable[[], float]], Balance], weights: tuple[int, ...]) -> None:
    several, balance, times = members(*weights), make(random.Random(7).random), 20_000
    counts = Counter(balance.choose(weighted(several), b"", 0.0) for _ in range(times))
    for member in several:
        share = member.weight / sum(weights)
        assert abs(counts[member] - share * times) <= 5 * math.sqrt(share * (1 - share) * times) + 1


Attempt = Callable[[Member], tuple[float, Outcome]]


def traffic(scene: GroupScene, attempt: Attempt, callers: int, total: int) -> dict[str, float]:
    """The share of ``total`` requests that each endpoint got, of callers who ask again as soon as they are answered."""
    running: list[tuple[float, int, Member, float, Outcome]] = []
    counts = Counter[str]()
    for number in range(total):
        if number >= callers:
            scene.clock.now, _, member, began, outcome = heapq.heappop(running)
            scene.group.end(member, began, outcome)
        chosen = scene.group.choose(b"")
        assert chosen is not None
        seconds, outcome = attempt(chosen)
        counts[chosen.name] += 1
        began = scene.group.begin(chosen)
        heapq.heappush(running, (scene.clock.now + seconds, number, chosen, began, outcome))
    return {member.name: counts[member.name] / total for member in scene.members}


def four_endpoints(seed: int) -> tuple[GroupScene, random.Random]:
    dice = random.Random(seed)
    return GroupScene(4, Rules(), balance=LeastRequest(dice.random), clock=Clock(0.0)), dice


@pytest.mark.parametrize("seed", range(5))
def test_least_request_spares_one_that_is_slow(seed: int) -> None:
    scene, dice = four_endpoints(seed)

    def attempt(member: Member) -> tuple[float, Outcome]:
        return dice.expovariate(1.0) * (1.0 if member.name == "a" else 0.1), SUCCESS

    shares = traffic(scene, attempt, callers=16, total=8_000)
    assert shares["a"] < 0.15, shares
    assert all(shares[name] > 0.25 for name in "bcd"), shares


@pytest.mark.parametrize("seed", range(5))
def test_least_request_gives_one_that_fails_at_once_no_more_than_its_share(seed: int) -> None:
    scene, dice = four_endpoints(seed)

    def attempt(member: Member) -> tuple[float, Outcome]:
        if member.name == "a":
            return 0.001, FAILURE
        return dice.uniform(0.05, 0.15), SUCCESS

    shares = traffic(scene, attempt, callers=16, total=8_000)
    assert shares["a"] < 0.25 * 1.2, shares


def ring(several: list[Member], most: float = 0.0) -> RingHash:
    return RingHash(several, [member.weight for member in several], random.Random(1).random, most)


def homes(balance: RingHash, several: list[Member]) -> list[Member]:
    """Where each of `KEYS` goes."""
    now = weighted(several)
    return [balance.choose(now, key, 0.0) for key in KEYS]


@pytest.mark.parametrize("leaving", [0, 4, 9])
@pytest.mark.parametrize("configured", [True, False], ids=["it is down", "it was removed"])
def test_only_the_keys_of_one_that_leaves_move(leaving: int, configured: bool) -> None:
    several = members(*[1] * 10)
    balance = ring(several)
    before = homes(balance, several)
    assert before == homes(ring(several), several)
    rest = [*several[:leaving], *several[leaving + 1 :]]
    after = homes(balance if configured else ring(rest), rest)
    moved = [old for old, new in zip(before, after, strict=True) if old is not new]
    assert {*moved} == {several[leaving]}
    assert len(moved) < 1.5 / 10 * len(KEYS)
    orphans = Counter(new for old, new in zip(before, after, strict=True) if old is several[leaving])
    assert len(orphans) == 9, "its keys are spread over all others"


def test_the_keys_follow_the_weights() -> None:
    several = members(1, 2, 3, 4)
    counts = Counter(homes(ring(several), several))
    for member in several:
        assert counts[member] / len(KEYS) == pytest.approx(member.weight / 10, rel=0.25)


@pytest.mark.parametrize("seed", range(5))
def test_no_endpoint_has_more_than_its_bound_of_what_runs(seed: int) -> None:
    dice = random.Random(seed)
    several = members(*[dice.randint(1, 4) for _ in range(6)])
    most = dice.choice([1.1, 1.25, 2.0])
    balance, total = ring(several, most), sum(member.weight for member in several)
    home = ring(several).choose(weighted(several), b"popular", 0.0)
    running: list[Member] = []
    passed = 0
    for _ in range(3_000):
        if running and dice.random() < 0.47:
            running.pop(dice.randrange(len(running))).in_flight -= 1
            continue
        key = b"popular" if dice.random() < 0.7 else dice.choice(KEYS)
        member = balance.choose(weighted(several), key, 0.0)
        member.in_flight += 1
        running.append(member)
        assert member.in_flight <= math.ceil(most * len(running) * member.weight / total)
        passed += key == b"popular" and member is not home
    assert passed > 100, "the popular key had to be passed on"
