"""Connectors are found by their name; what cannot be used says how to fix it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import strangers

from gateway.config import kinds
from gateway.config.actions import REQUESTS


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    strangers.forget()
    yield
    strangers.forget()


def test_a_connector_of_another_distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "cache" not in kinds.kinds()
    strangers.forget()
    source = strangers.connector_of_the_docs()
    monkeypatch.syspath_prepend(strangers.installed(tmp_path, "cache", "kinds_cache:Memcached", source))
    assert kinds.kinds() == [*REQUESTS, *kinds.BUILT_IN, "cache"]
    assert kinds.kind_of("cache").__name__ == "Memcached"


@pytest.mark.parametrize("name", [*REQUESTS, *kinds.BUILT_IN])
def test_what_is_built_in_cannot_be_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.syspath_prepend(strangers.installed(tmp_path, name, "kinds_thief:Memcached", "Memcached = 1"))
    assert kinds.kinds() == [*REQUESTS, *kinds.BUILT_IN]


@pytest.mark.parametrize(
    ("target", "source", "says"),
    [
        ("kinds_broken:X", "raise RuntimeError('no')", "(kinds_broken:X) cannot be loaded: RuntimeError: no; repair"),
        ("kinds_empty:X", "", "cannot be loaded: AttributeError"),
        ("kinds_leaves:X", "raise SystemExit(3)", "(kinds_leaves:X) cannot be loaded: SystemExit: 3; repair"),
        ("kinds_other:X", "class X: pass", "kinds_other:X is no connector; name a class with Connection and Action"),
        ("kinds_typed:X", "class X:\n    Connection = Action = int", "kinds_typed:X is no connector; name a class"),
        ("kinds_named:X", "class X:\n    Connection = Action = 'int'", "kinds_named:X is no connector; name a class"),
        ("kinds_value:X", "X = 7", "kinds_value:X is no connector"),
    ],
)
def test_what_is_no_connector_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, source: str, says: str
) -> None:
    monkeypatch.syspath_prepend(strangers.installed(tmp_path, "odd", target, source))
    with pytest.raises(kinds.UnknownKindError) as error:
        kinds.kind_of("odd")
    assert says in str(error.value)


def test_an_unknown_kind_says_which_there_are() -> None:
    with pytest.raises(kinds.UnknownKindError, match="there is no such connector; write one of http"):
        kinds.kind_of("nothing")


def test_what_is_missing_is_named_with_the_command() -> None:
    kinds.require("json", "none")
    with pytest.raises(kinds.UnknownKindError) as error:
        kinds.require("no_such_driver", "sql")
    assert str(error.value) == "needs the package no_such_driver; run pip install 'breakwater-gateway[sql]'"
