"""Bad signatures by address: a bound for who presents them, and a way through for known callers behind one address."""

from __future__ import annotations

import pytest

from gateway.identity import budget as module
from gateway.identity.budget import BURST, KNOWN_BURST, PER_SECOND, FailureBudget, client_key


def attack(budget: FailureBudget, client: str, now: float, times: int = 1000, caller: str = "x") -> int:
    """How many of so many bad tokens had to be verified."""
    verified = 0
    for number in range(times):
        one = budget.of(client, now)
        subject = f"{caller}{number}" if caller == "x" else caller
        if one.allows("i", subject):
            one.failed("i", subject, 1)
            verified += 1
    return verified


def test_an_address_has_a_burst_and_then_a_rate() -> None:
    budget = FailureBudget()
    assert attack(budget, "a", 100.0) == BURST
    assert attack(budget, "a", 100.0) == 0
    assert attack(budget, "a", 110.0) == 10 * PER_SECOND
    assert attack(budget, "a", 1e6) == BURST
    assert attack(budget, "a", 50.0) == 0  # a clock that was set back gives nothing


def test_another_address_is_not_bounded_by_it() -> None:
    budget = FailureBudget()
    attack(budget, "a", 100.0)
    assert budget.of("b", 100.0).allows("i", "u")


def test_a_failure_with_many_keys_counts_for_each() -> None:
    budget = FailureBudget()
    budget.of("a", 100.0).failed("i", "u", BURST)
    assert not budget.of("a", 100.0).allows("i", "u")


def test_good_tokens_cost_nothing() -> None:
    budget = FailureBudget()
    for _ in range(10 * BURST):
        one = budget.of("a", 100.0)
        assert one.allows("i", "u")
        one.succeeded("i", "u")


def test_a_caller_who_was_good_there_before_passes_behind_an_attacked_address() -> None:
    budget = FailureBudget()
    budget.of("nat", 100.0).succeeded("i", "ann")
    attack(budget, "nat", 100.0)
    assert budget.of("nat", 100.0).allows("i", "ann")
    assert not budget.of("nat", 100.0).allows("i", "bob")
    assert not budget.of("nat", 100.0).allows("other issuer", "ann")


def test_whoever_knows_the_name_of_a_known_caller_gains_a_few_verifications() -> None:
    budget = FailureBudget()
    budget.of("nat", 100.0).succeeded("i", "ann")
    attack(budget, "nat", 100.0)
    assert attack(budget, "nat", 100.0, caller="ann") == KNOWN_BURST
    assert budget.of("elsewhere", 100.0).allows("i", "ann")


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_REMEMBERED", 10)
    budget = FailureBudget()
    for number in range(100):
        budget.of(str(number), 100.0).failed("i", "u", BURST)
        budget.of(str(number), 100.0).succeeded("i", "u")
    assert (len(budget._clients), len(budget._known)) == (10, 10)
    assert not budget.of("99", 100.0).allows("i", "v")


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        ("192.0.2.1:5000", "192.0.2.1"),
        ("192.0.2.1", "192.0.2.1"),
        ("[::ffff:10.0.0.1]:5000", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2:ffff::1]:5000", "2001:db8:1:2::/64"),
        ("[fe80::1%eth0]:5000", "fe80::/64"),
        ("", ""),
        ("unix:", "unix:"),
    ],
)
def test_who_a_failure_counts_for(client: str, expected: str) -> None:
    assert client_key(client) == expected
