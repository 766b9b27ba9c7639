from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.config import records
from gateway.config.schema.hedge import Hedge
from gateway.config.schema.records import record_of


@pytest.mark.parametrize(("after", "active"), [(0, False), (0.0, False), (0.5, True), (3, True), ("p95", True)])
def test_the_time_is_a_number_or_measured(after: Any, active: bool) -> None:
    made = record_of(records.Hedge, Hedge.model_validate({"after": after}))
    assert (made.after, made.active, made.methods, made.mode) == (after, active, "idempotent", "enforce")


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ("p99", "number of seconds, as in 0.5, or p95"),
        ("0.5", "number of seconds, as in 0.5, or p95"),
        (True, "number of seconds, as in 0.5, or p95"),
        (None, "number of seconds, as in 0.5, or p95"),
        (-1, "from 0 to 86400"),
        (86401, "from 0 to 86400"),
        (float("nan"), "from 0 to 86400"),
    ],
)
def test_anything_else_is_one_error_that_says_what_to_write(after: Any, words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Hedge.model_validate({"after": after})
    assert [error["loc"] for error in caught.value.errors()] == [("after",)]
    assert words in str(caught.value)
