from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.config import records
from gateway.config.schema.proxy import Proxy
from gateway.config.schema.records import record_of
from gateway.config.schema.retries import Retries


@pytest.mark.parametrize(
    "on", [["connect", "reset", "timeout", "stall", "refused_stream"], ["400"], ["503", "599", "429"]]
)
def test_failures_are_words_and_statuses(on: list[str]) -> None:
    made = record_of(records.Retries, Retries.model_validate({"attempts": 2, "on": on, "backoff": {"max": 1.0}}))
    assert (made.on, made.active, made.backoff) == (tuple(on), True, records.Backoff(0.025, 1.0))


@pytest.mark.parametrize(
    ("on", "words"),
    [
        (["always"], "write connect"),
        (["200"], "write connect"),
        (["600"], "write connect"),
        (["50"], "write connect"),
        (["5xx"], "write connect"),
        (["\u0665\u0660\u0663"], "write connect"),
        ([503], 'put it in quotes: "503"'),
    ],
)
def test_other_words_are_refused(on: list[Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Retries.model_validate({"attempts": 2, "on": on})


@pytest.mark.parametrize("half", [{"attempts": 2}, {"on": ["connect"]}, {"attempts": 3, "on": []}])
def test_one_without_the_other_has_no_effect_and_is_refused(half: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="retries need attempts above 1, and failures"):
        Retries.model_validate(half)


def test_a_wrong_number_of_attempts_is_the_only_error_then() -> None:
    with pytest.raises(ValidationError) as caught:
        Retries.model_validate({"attempts": 0, "on": ["connect"]})
    assert [error["loc"] for error in caught.value.errors()] == [("attempts",)]


@pytest.mark.parametrize(
    ("key", "section"),
    [
        ("retries", {"attempts": 2, "on": ["stall"]}),
        ("fallback", {"on": ["stall"], "response": {"status": 503}}),
    ],
)
def test_a_stall_before_the_first_event_needs_a_clock(key: str, section: dict[str, Any]) -> None:
    written = {"name": "p", "path": "/p", "upstream": "http://h", key: section}
    with pytest.raises(ValidationError, match=rf"{key}\.on: stall needs stream\.first_event"):
        Proxy.model_validate(written)
    assert Proxy.model_validate(written | {"stream": {"first_event": 30}}).stream.first_event == 30
