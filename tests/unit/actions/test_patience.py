import pytest

from gateway.actions.fields import Layered
from gateway.actions.merge import Merged
from gateway.actions.patience import PolicyPatience, delay, may_repeat
from gateway.config.actions import Retry
from gateway.config.schema.call_policy import PRESETS
from gateway.policy.retry import CONNECT, REFUSED_STREAM, RESET, TIMEOUT

STEADY = Retry(jitter="none")


@pytest.mark.parametrize(
    ("preset", "pauses"),
    [
        ("once", [None]),
        ("standard", [1.0, 2.0, 4.0, None]),
        ("api", [1.0, 2.0, 4.0, None]),
        ("background", [2.0, 4.0, 8.0, 16.0, 32.0, None]),
        ("health", [0.5, None]),
        ("aggressive", [0.05, 0.075, 0.1125, None]),
        ("conservative", [1.0, None]),
    ],
)
def test_the_pauses_of_the_presets(preset: str, pauses: list[float | None]) -> None:
    patience = PolicyPatience(PRESETS[preset], lambda: 1.0)
    found = [patience.pause(attempts, "503", None, 0.0) for attempts in range(1, len(pauses) + 1)]
    assert found == pytest.approx(pauses)


@pytest.mark.parametrize(
    ("cause", "repeats"),
    [
        *[(cause, True) for cause in (CONNECT, RESET, TIMEOUT, REFUSED_STREAM, "429", "500", "502", "503", "504")],
        *[(cause, False) for cause in ("400", "401", "404", "408", "501", "505", "506", "508", "510", "", "other")],
    ],
)
def test_what_a_call_is_made_again_for(cause: str, repeats: bool) -> None:
    assert (PolicyPatience(STEADY).pause(1, cause, None, 0.0) is not None) is repeats


def test_aggressive_also_repeats_after_408_and_conservative_not_after_500() -> None:
    assert PolicyPatience(PRESETS["aggressive"]).pause(1, "408", None, 0.0) is not None
    assert PolicyPatience(PRESETS["conservative"]).pause(1, "500", None, 0.0) is None


@pytest.mark.covers("ACT-21")
@pytest.mark.parametrize(
    ("asked", "pause"), [(0.0, 0.0), (7.0, 7.0), (30.0, 30.0), (31.0, 30.0), (1e9, 30.0), (None, 1.0)]
)
def test_retry_after_replaces_the_pause_up_to_the_cap(asked: float | None, pause: float) -> None:
    assert PolicyPatience(STEADY).pause(1, "429", asked, 0.0) == pause
    assert PolicyPatience(Retry(jitter="none", respect_retry_after=False)).pause(1, "429", asked, 0.0) == 1.0


def test_no_one_waits_longer_than_a_day() -> None:
    assert PolicyPatience(Retry(most=1e6, total=0.0)).pause(1, "429", 1e9, 0.0) == 86400.0


@pytest.mark.parametrize(("chance", "pause"), [(0.0, 0.0), (0.25, 1.0), (1.0, 4.0)])
def test_full_jitter_takes_any_part_of_the_pause(chance: float, pause: float) -> None:
    assert PolicyPatience(Retry(), lambda: chance).pause(3, "503", None, 0.0) == pause


def test_the_last_attempt_begins_within_the_total() -> None:
    patience = PolicyPatience(Retry(jitter="none", total=10.0))
    assert patience.pause(2, "503", None, 8.0) == 2.0
    assert patience.pause(2, "503", None, 8.1) is None
    assert PolicyPatience(Retry(jitter="none", total=0.0)).pause(2, "503", None, 1e6) == 2.0


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 1.0), (2, 2.0), (5, 16.0), (6, 30.0), (5000, 30.0)])
def test_pauses_grow_up_to_the_cap(attempts: int, seconds: float) -> None:
    assert delay(STEADY, attempts) == seconds


@pytest.mark.parametrize(
    ("method", "key", "policy", "may"),
    [
        *[(method, "", Retry(), True) for method in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE")],
        *[(method, "", Retry(), False) for method in ("POST", "PATCH")],
        ("POST", "k", Retry(), True),
        ("POST", "", Retry(non_idempotent=True), True),
        ("GET", "k", Retry(retries=0), False),
    ],
)
def test_what_may_be_sent_twice(method: str, key: str, policy: Retry, may: bool) -> None:
    headers = (Layered("idempotency-key", key, "input"),) if key else ()
    assert may_repeat(policy, Merged(method, "/", (), headers)) is may


@pytest.mark.covers("ACT-41")
@pytest.mark.parametrize(
    ("policy", "spent", "seconds"),
    [
        (Retry(most=30.0), 0.0, 30.0),
        (Retry(most=30.0, total=20.0), 5.0, 15.0),
        (Retry(most=30.0, total=20.0), 21.0, 0.0),
        (Retry(most=30.0, statuses=(503,)), 0.0, 0.0),
        (Retry(most=30.0, base=2.0, factor=3.0, respect_retry_after=False), 0.0, 2.0),
    ],
)
def test_how_long_a_call_waits_for_a_token(policy: Retry, spent: float, seconds: float) -> None:
    assert PolicyPatience(policy).wait(0, spent) == seconds


def test_without_respect_for_retry_after_it_waits_as_long_as_before_another_attempt() -> None:
    patience = PolicyPatience(Retry(base=2.0, factor=3.0, respect_retry_after=False))
    assert [patience.wait(attempts, 0.0) for attempts in (0, 1, 2, 3)] == [2.0, 2.0, 6.0, 18.0]
