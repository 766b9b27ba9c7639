from __future__ import annotations

import pytest

from gateway.config.protections import Retries, Stream


@pytest.mark.parametrize(
    ("stream", "watches"),
    [
        (Stream(), False),
        (Stream(first_event=1.0), True),
        (Stream(event_gap=1.0), True),
        (Stream(on_stall="error_event"), True),
        (Stream(mode="shadow"), False),
    ],
)
def test_when_a_stream_is_watched(stream: Stream, watches: bool) -> None:
    assert stream.watches is watches


@pytest.mark.parametrize(
    ("retries", "active", "bound"),
    [
        (Retries(), False, 0.0),
        (Retries(3), False, 0.0),
        (Retries(1, ("reset",)), False, 0.0),
        (Retries(2, ("reset",)), True, 0.0),
        (Retries(2, ("reset",), per_try_timeout=5.0), True, 5.0),
        (Retries(2, ("reset",), per_try_timeout=5.0, mode="shadow"), True, 0.0),
        (Retries(1, ("reset",), per_try_timeout=5.0), False, 0.0),
    ],
)
def test_when_there_are_retries(retries: Retries, active: bool, bound: float) -> None:
    assert (retries.active, retries.bound) == (active, bound)
