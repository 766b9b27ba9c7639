import math

import pytest

from gateway.config.formats.yaml_scalars import resolve


@pytest.mark.parametrize(
    "text", ["yes", "no", "on", "off", "y", "1:30", "1_000", "0b1", "2026-01-01", "1e", "tRUE", "-"]
)
def test_what_only_yaml_1_1_reads_as_a_value_is_text(text: str) -> None:
    assert resolve(text) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[(text, None) for text in ("", "~", "null", "Null", "NULL")],
        *[("true", True), ("TRUE", True), ("False", False)],
        *[("5", 5), ("-5", -5), ("+5", 5), ("017", 17), ("0o17", 15), ("0x1F", 31)],
        *[("1.5", 1.5), (".5", 0.5), ("1.", 1.0), ("1e3", 1000.0), ("-2E-1", -0.2), ("-.inf", -math.inf)],
    ],
)
def test_the_core_schema_of_yaml_1_2(text: str, value: object) -> None:
    found = resolve(text)
    assert found == value
    assert type(found) is type(value)


def test_not_a_number_is_a_number() -> None:
    found = resolve(".nan")
    assert isinstance(found, float)
    assert math.isnan(found)


def test_a_number_of_thousands_of_digits_stays_text() -> None:
    assert resolve("1" * 5000) == "1" * 5000
