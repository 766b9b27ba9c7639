import importlib.util

import pytest
from pydantic import ValidationError

from gateway.config.schema.observability import Tracing

ENDPOINT = "http://127.0.0.1:4318/v1/traces"


def test_tracing_is_accepted_with_the_sdk() -> None:
    assert Tracing(endpoint=ENDPOINT).endpoint == ENDPOINT


def _absent(_name: str) -> None:
    return None


def _parent_absent(name: str) -> None:
    raise ModuleNotFoundError(name)


@pytest.mark.parametrize("find_spec", [_absent, _parent_absent])
def test_tracing_without_the_sdk_names_the_command(monkeypatch: pytest.MonkeyPatch, find_spec: object) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    with pytest.raises(ValidationError, match="pip install 'breakwater-gateway\\[otel\\]'"):
        Tracing(endpoint=ENDPOINT)
