"""The shape and the defaults; what the model refuses stands in test_parse.py, in the words of the user."""

import dataclasses

import pytest
from pydantic import BaseModel

from gateway.config import document, model
from gateway.config.header import Context
from gateway.core.limits import Limits

PAIRS: list[tuple[type[BaseModel], object]] = [
    (model.Limits, Limits()),
    (model.Queue, document.Queue()),
    (model.CircuitBreaker, document.CircuitBreaker()),
    (model.TimeoutConfig, document.Timeouts()),
]


@pytest.mark.covers("T011", "T022")
@pytest.mark.parametrize(("section", "record"), PAIRS, ids=lambda value: getattr(value, "__name__", ""))
def test_sections_have_the_fields_and_defaults_of_the_document(section: type[BaseModel], record: object) -> None:
    assert dataclasses.is_dataclass(record)
    assert section().model_dump() == {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}


def test_an_empty_file_would_mean_the_default_document() -> None:
    assert model.Settings().record({}, {}) == document.Document()


def test_a_proxy_of_three_keys_has_the_defaults_of_the_document() -> None:
    plain = {"name": "a", "path": "/a", "upstream": "http://h"}
    assert model.Proxy.model_validate(plain).record({}, {}) == document.Proxy("a", "/a", "http://h")


@pytest.mark.parametrize(
    "section", [model.Settings, model.Listener, model.AccessLog, model.Proxy, *(section for section, _ in PAIRS)]
)
def test_every_key_says_what_it_means(section: type[BaseModel]) -> None:
    assert [name for name, field in section.model_fields.items() if not field.description] == []


def test_headers_are_kept_out_of_the_representation() -> None:
    plain = {"name": "a", "path": "/a", "upstream": "http://h", "headers": {"X-Key": "{env.KEY}", "X-Empty": ""}}
    settings = model.Settings.model_validate({"proxies": [plain]}, context=Context({"KEY": "s3cret"}))
    record = settings.record({"KEY": "s3cret"}, {})
    assert record.proxies[0].headers == (document.Header("X-Key", ("s3cret",)),)
    assert "s3cret" not in repr(settings) + repr(record)
