"""Failing logins: who guesses slows down, and locks nobody else out."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

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


pauses = st.sampled_from([0.0, 0.0, 0.0, 0.5, 10.0, 40.0])
steps = st.lists(
    st.tuples(st.sampled_from(["a1", "a2", "a3"]), st.sampled_from(["root", "x"]), pauses), min_size=30, max_size=120
)


@settings(derandomize=True, deadline=None)
@given(steps, st.booleans())
def test_whatever_strangers_do_is_over_soon(tries: list[tuple[str, str, float]], polite: bool) -> None:
    """Who logged in before never waits for others; who did not waits no longer than a fixed time; none guess faster."""
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
        assert made.check("fresh", "root") <= 6 * 30
        assert made.check(client, account) <= max(4 * 10, 6 * 30)
    assert let_in <= 5 + clock.now / 30 + 1e-6
    clock.now += 6 * 30
    assert made.check("fresh", "root") == 0
