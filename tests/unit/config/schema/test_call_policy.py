from typing import Any

import pytest
from pydantic import TypeAdapter

from gateway.config import actions as records
from gateway.config.schema.call_policy import PRESETS, HttpPolicy, Preset, Retry, RetryKey

READER: TypeAdapter[Any] = TypeAdapter(RetryKey)


@pytest.mark.parametrize("preset", list(PRESETS))
def test_a_preset_is_written_by_its_name(preset: Preset) -> None:
    assert READER.validate_python(preset).record() == PRESETS[preset]
    assert READER.validate_python({"preset": preset}).record() == PRESETS[preset]


@pytest.mark.parametrize(
    ("preset", "retries", "base", "most", "factor", "total"),
    [
        ("standard", 3, 1.0, 30.0, 2.0, 300.0),
        ("aggressive", 3, 0.05, 5.0, 1.5, 0.0),
        ("conservative", 1, 1.0, 10.0, 2.0, 0.0),
        ("api", 3, 1.0, 16.0, 2.0, 60.0),
        ("background", 5, 2.0, 60.0, 2.0, 600.0),
        ("health", 1, 0.5, 1.0, 1.0, 10.0),
    ],
)
def test_presets_are_those_of_the_specification(
    preset: str, retries: int, base: float, most: float, factor: float, total: float
) -> None:
    found = PRESETS[preset]
    assert (found.retries, found.base, found.most, found.factor, found.total) == (retries, base, most, factor, total)


def test_each_key_changes_the_preset() -> None:
    written = Retry(
        preset="conservative",
        max_retries=0,
        base_delay_ms=200,
        max_delay_ms=400,
        factor=3.0,
        jitter="full",
        retry_status_codes=(500,),
        respect_retry_after=False,
        total_ms=0,
        retry_non_idempotent=True,
    )
    assert written.record() == records.Retry(0, 0.2, 0.4, 3.0, "full", (500,), False, 0.0, True)


@pytest.mark.covers("ACT-10")
def test_a_policy_adds_to_the_fields_that_are_never_sent() -> None:
    policy = HttpPolicy(denied_headers=("X-Internal", "HOST"), reserved_headers=("X-Mine",), max_total_headers=3)
    record = policy.record()
    assert set(records.FieldPolicy().denied) | {"x-internal"} == set(record.denied)
    assert len(set(record.denied)) == len(record.denied)
    assert (record.reserved, record.max_fields) == (("x-mine",), 3)
    assert HttpPolicy().record() == records.FieldPolicy()
