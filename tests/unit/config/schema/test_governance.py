"""Governance in the file: patterns, and what is rejected."""

from __future__ import annotations

import orjson
import pytest

from gateway.config.actions import Governance
from gateway.config.load import ConfigError, parse


def read(**governance: object) -> Governance:
    return parse(orjson.dumps({"governance": governance}).decode(), "json", "f", {}).governance


@pytest.mark.covers("ACT-39")
def test_it_becomes_a_record_and_allows_everything_by_itself() -> None:
    assert parse("{}", "json", "f", {}).governance == Governance() == read()
    found = read(allow=["http.get-*", "trn:openact:a:*"], deny=["*.delete-*"], max_concurrent=10, timeout_ms=1500)
    assert found == Governance(("http.get-*", "trn:openact:a:*"), ("*.delete-*",), 10, 1.5)


@pytest.mark.parametrize(
    ("pattern", "says"),
    [("get-user", "has no connector; write http.get-user"), ("a b", "is no pattern"), ("", "is no pattern")],
)
def test_a_pattern_that_means_nothing_is_rejected(pattern: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read(deny=[pattern])
