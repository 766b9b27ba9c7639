"""One line a second, and the number of the others."""

from __future__ import annotations

from gateway.core.once_a_second import OnceASecond


def dues(*times: float) -> list[str | None]:
    reading = iter(times)
    throttle = OnceASecond(lambda: next(reading))
    return [throttle.due() for _ in times]


def test_the_first_line_is_due_and_the_next_one_a_second_later() -> None:
    more = " (2 more since the last such line)"
    assert dues(0.0, 0.1, 0.999, 1.0, 1.5, 2.25, 9.0) == [
        "", None, None, more, None, " (1 more since the last such line)", ""
    ]  # fmt: skip


def test_another_pause() -> None:
    times = iter((0.0, 59.9, 60.0))
    throttle = OnceASecond(lambda: next(times), 60.0)
    assert [throttle.due() for _ in range(3)] == ["", None, " (1 more since the last such line)"]


def test_a_clock_that_is_set_back_does_not_silence_the_log() -> None:
    assert dues(5000.0, 5000.5, 10.0, 10.5) == ["", None, " (1 more since the last such line)", None]
