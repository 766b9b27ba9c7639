"""Failing logins: who guesses slows down, and locks nobody else out."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.admin.throttle import Crowded, LoginThrottle, Rate, Turns, network


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def throttle(clock: Clock) -> LoginThrottle:
    return LoginThrottle(clock, per_client=Rate(3, 30.0), per_account=Rate(9, 10.0), per_device=Rate(3, 10.0))


def test_a_client_that_fails_waits_longer_and_longer_until_it_rests() -> None:
    clock = Clock()
    made = throttle(clock)
    for _ in range(3):
        assert made.check("c", "a") == 0
        made.failed("c", "a")
    assert made.check("c", "a") == 30
    made.failed("c", "a")
    assert made.check("c", "a") == 60
    assert made.check("c", "other") == 0, "another account of the same address"
    clock.now = 60.0
    assert made.check("c", "a") == 0


def test_many_clients_can_not_guess_one_account() -> None:
    made = throttle(Clock())
    for number in range(9):
        made.failed(f"c{number}", "a")
    assert made.check("fresh", "a") == 10
    assert made.check("fresh", "b") == 0


def test_one_address_does_not_keep_an_account_from_others() -> None:
    clock = Clock()
    made = throttle(clock)
    for _ in range(2000):
        clock.now += 1
        if made.check("attacker", "a") == 0:
            made.failed("attacker", "a")
        assert made.check("fresh", "a") == 0


def test_behind_one_shared_address_a_known_device_is_not_kept_out() -> None:
    """All come as the address of a proxy; the attacker tries all the time and never stops."""
    clock = Clock()
    made = throttle(clock)
    made.succeeded("proxy", "a")
    for _ in range(3):
        made.failed("proxy", "a")
    for second in range(1000):
        clock.now = float(second)
        made.failed("proxy", "a")
        assert made.check("proxy", "a") > 0
        assert made.check("proxy", "a", "d1") == 0
        if second % 100 == 0:
            made.failed("proxy", "a", "d1")
            made.succeeded("proxy", "a", "d1")
            assert made.check("proxy", "a") > 0, "what succeeds there does not clear the attacker"


def test_a_device_has_a_count_of_its_own() -> None:
    clock = Clock()
    made = throttle(clock)
    for _ in range(3):
        made.failed("c", "a", "d1")
    assert made.check("c", "a", "d1") == 10
    assert made.check("c", "a", "d2") == 0
    assert made.check("c", "a") == 0
    clock.now = 10.0
    assert made.check("c", "a", "d1") == 0


def test_who_logged_in_before_is_not_locked_out_by_other_addresses() -> None:
    made = throttle(Clock())
    made.succeeded("home", "a")
    for number in range(50):
        made.failed(f"c{number}", "a")
    assert made.check("home", "a") == 0
    assert made.check("elsewhere", "a") > 0


def test_memory_is_bounded() -> None:
    made = throttle(Clock())
    for number in range(20_000):
        made.failed(f"c{number}", f"a{number}")
        made.failed("c", "a", f"d{number}")
        made.succeeded(f"d{number}", "a")
    counts = (made._clients._levels, made._accounts._levels, made._devices._levels, made._welcome)
    assert max(map(len, counts)) <= 10_000


def test_a_success_takes_back_what_its_try_was_counted() -> None:
    made = throttle(Clock())
    for number in range(50):
        assert made.check(f"c{number}", "a") == 0
        made.failed(f"c{number}", "a")
        made.succeeded(f"c{number}", "a")


def test_a_client_in_use_is_not_forgotten_for_others() -> None:
    made = throttle(Clock())
    for number in range(20_000):
        made.succeeded("home", "a")
        made.succeeded(f"c{number}", "b")
    for _ in range(50):
        made.failed("elsewhere", "a")
    assert made.check("home", "a") == 0


@pytest.mark.parametrize(
    ("client", "counted"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("no address", "no address"),
    ],
)
def test_a_client_is_counted_by_all_addresses_that_it_has(client: str, counted: str) -> None:
    assert network(client) == counted


def test_addresses_of_one_network_are_one_client() -> None:
    made = throttle(Clock())
    for number in range(3):
        made.failed(f"2001:db8::{number:x}", "a")
    assert made.check("2001:db8::ffff", "a") == 30
    assert made.check("2001:db8:0:1::1", "a") == 0


def test_turns_are_bounded_for_all_and_for_each() -> None:
    turns = Turns(strangers=4, of_client=2, known=1)
    taken = [turns.turn(client, known=False) for client in ("a", "a", "b", "c")]
    for turn in taken:
        turn.__enter__()
    with pytest.raises(Crowded), turns.turn("d", known=False):
        pass
    with turns.turn("a", known=True), pytest.raises(Crowded), turns.turn("a", known=True):
        pass
    taken[2].__exit__(None, None, None)
    with pytest.raises(Crowded), turns.turn("a", known=False):
        pass
    with turns.turn("d", known=False):
        pass
    for turn in (taken[0], taken[1], taken[3]):
        turn.__exit__(None, None, None)
    assert not turns._clients


pauses = st.sampled_from([0.0, 0.0, 0.0, 0.5, 10.0, 40.0])
steps = st.lists(
    st.tuples(st.sampled_from(["a1", "a2", "a3"]), st.sampled_from(["root", "x"]), pauses), min_size=30, max_size=120
)


@settings(derandomize=True, deadline=None)
@given(steps, st.booleans())
def test_whatever_strangers_do_is_over_soon(tries: list[tuple[str, str, float]], polite: bool) -> None:
    """Who is known never waits for others; who is not waits no longer than a fixed time; none guess faster."""
    clock = Clock()
    made = throttle(clock)
    made.succeeded("home", "root")
    let_in = 0
    for client, account, pause in tries:
        clock.now += pause
        if not polite or made.check(client, account) == 0:
            let_in += polite and account == "root"
            made.failed(client, account)
        assert made.check("home", "root") == 0
        assert made.check(client, "root", "device") == 0
        assert made.check("fresh", "root") <= 10 * 10
        assert made.check(client, account) <= max(4 * 30, 10 * 10)
    assert let_in <= 9 + clock.now / 10 + 1e-6
    clock.now += 10 * 10
    assert made.check("fresh", "root") == 0
