"""Calls of connectors before they are made: input, defaults, dry run. `test_perform.py` makes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import strangers

from gateway.actions.connector_call import dry_run_call, prepare_call
from gateway.actions.errors import InvalidCallError
from gateway.actions.prepare import Entry, Index
from gateway.config import load
from gateway.ipc.calls import AdHoc, Asked

FILE = """
connections:
  c: {kind: memcached, host: h, timeout_ms: 4000, retry: {max_retries: 2}}
actions:
  value: {connection: c, timeout_ms: 3000}
  put: {connection: c, operation: set, parameters: [{name: key, required: true}, {name: value, default: none}]}
  again: {connection: c, operation: set, retry: {retry_non_idempotent: true}}
  open: {connection: c, input_schema: {type: object}}
"""


@pytest.fixture(autouse=True)
def _stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    source = strangers.connector_of_the_docs()
    monkeypatch.syspath_prepend(strangers.installed(tmp_path, "memcached", "called_memcached:Memcached", source))
    strangers.forget()
    yield
    strangers.forget()


def entry(asked: Asked) -> Entry:
    document = load.parse(FILE, "yaml", "f", {})
    return Index(document.connections, document.actions).find(asked)


def rejected(asked: Asked) -> InvalidCallError:
    with pytest.raises(InvalidCallError) as error:
        prepare_call(entry(asked), asked)
    return error.value


def test_defaults_are_added() -> None:
    asked = Asked("default", "put", {"key": "a"})
    ready = prepare_call(entry(asked), asked)
    assert ready.given == {"key": "a", "value": "none"}
    assert (ready.prepared.method, ready.prepared.seconds, ready.prepared.body) == (b"MEMCACHED", 4.0, b"")


@pytest.mark.parametrize(("timeout", "seconds"), [(0.0, 3.0), (1.0, 1.0), (9.0, 3.0)])
def test_a_caller_can_only_shorten_the_time(timeout: float, seconds: float) -> None:
    asked = Asked("default", "value", {"key": "a"}, timeout=timeout)
    assert prepare_call(entry(asked), asked).prepared.seconds == seconds


@pytest.mark.parametrize(("action", "again"), [("value", True), ("put", False), ("again", True)])
def test_what_is_made_again(action: str, again: bool) -> None:
    asked = Asked("default", action, {"key": "a"} if action != "again" else {"key": "a", "value": "b"})
    assert (prepare_call(entry(asked), asked).prepared.patience is not None) is again


def test_input_that_does_not_fit_is_rejected() -> None:
    assert rejected(Asked("default", "value", {"key": "a", "x": 1})).code == "validation.invalid_input"
    assert rejected(Asked("default", "value")).fields
    # The schema was written, and asks for nothing.
    assert rejected(Asked("default", "open")).fields == [("key", "is required")]


def test_a_connection_is_called_by_its_actions() -> None:
    assert "write an action" in rejected(Asked("default", adhoc=AdHoc("c"))).message
    asked = Asked("default", adhoc=AdHoc("c", test=True))
    assert prepare_call(entry(asked), asked).prepared.patience is None


def test_a_dry_run_shows_no_secret() -> None:
    asked = Asked("default", "put", {"key": "a", "value": "b"})
    found = entry(asked)
    planned = dry_run_call(found, prepare_call(found, asked))
    assert (planned["method"], planned["url"]) == ("MEMCACHED", "memcached://h:11211")
    assert json.loads(planned["body"]) == {"input": {"key": "[REDACTED]", "value": "b"}}
    asked = Asked("default", adhoc=AdHoc("c", test=True))
    found = entry(asked)
    assert dry_run_call(found, prepare_call(found, asked))["body"] == "{}"
