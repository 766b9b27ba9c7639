"""Failing logins: who guesses slows down, and locks nobody else out."""

from __future__ import annotations

from gateway.identity.throttle import LoginThrottle, Rate


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def throttle(clock: Clock) -> LoginThrottle:
    return LoginThrottle(clock, per_client=Rate(3, 10.0), per_account=Rate(5, 30.0))


def test_a_client_that_fails_waits_longer_and_longer_until_it_rests() -> None:
    clock = Clock()
    made = throttle(clock)
    for _ in range(3):
        assert made.check("c", "a") == 0
        made.failed("c", "a")
    assert made.check("c", "a") == 10
    made.failed("c", "a")
    assert made.check("c", "other") == 20
    clock.now = 20.0
    assert made.check("c", "other") == 0


def test_many_clients_can_not_guess_one_account() -> None:
    made = throttle(Clock())
    for number in range(5):
        made.failed(f"c{number}", "a")
    assert made.check("fresh", "a") == 30
    assert made.check("fresh", "b") == 0


def test_who_logged_in_before_is_not_locked_out_by_others() -> None:
    made = throttle(Clock())
    made.succeeded("home", "a")
    for number in range(50):
        made.failed(f"c{number}", "a")
    assert made.check("home", "a") == 0
    assert made.check("elsewhere", "a") > 0


def test_a_success_clears_the_client() -> None:
    made = throttle(Clock())
    for _ in range(3):
        made.failed("c", "a")
    made.succeeded("c", "a")
    assert made.check("c", "a") == 0


def test_memory_is_bounded() -> None:
    made = throttle(Clock())
    for number in range(20_000):
        made.failed(f"c{number}", f"a{number}")
        made.succeeded(f"d{number}", "a")
    assert max(len(made._clients._levels), len(made._accounts._levels), len(made._welcome)) <= 10_000
