"""The shape and the defaults; what the model refuses stands in test_parse.py, in the words of the user."""

import dataclasses

import pytest
from pydantic import BaseModel, ValidationError

from gateway.config import document, model, single
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
    assert record.proxies[0].headers == (
        document.Header("X-Key", ("s3cret",), secret=True),
        document.Header("X-Empty", ()),
    )
    assert "s3cret" not in repr(settings) + repr(record)


def test_a_proxy_of_the_database_reads_listed_variables_alone() -> None:
    env = {"REGION": "eu", "PGPASSWORD": "s3cret", "GATEWAY_MASTER_KEY": "s3cret"}
    settings = model.Settings(database="sqlite:///g.db", template_env=("REGION",))
    headers = {"A": "{env.REGION}", "B": "{env.PGPASSWORD}", "C": "{env.GATEWAY_MASTER_KEY}"}
    stored = single.stored({"name": "p", "path": "/p", "upstream": "http://h", "headers": headers})
    (record,) = settings.record(env, {}, [stored]).proxies
    assert {h.name: h.parts for h in record.headers} == {
        "A": ("eu",),
        "B": (document.Missing("env.PGPASSWORD"),),
        "C": (document.Missing("env.GATEWAY_MASTER_KEY"),),
    }
    own = settings.model_copy(update={"proxies": (stored,)}).record(env, {}).proxies[0]
    assert own.headers[1].parts == ("s3cret",)
    assert own.headers[2].parts == (document.Missing("env.GATEWAY_MASTER_KEY"),)


@pytest.mark.parametrize("key", ["template_env", "worker_env"])
@pytest.mark.parametrize(
    ("names", "database", "hint"),
    [
        (["REGION"], None, "without a database there is no"),
        (["GATEWAY_MASTER_KEY"], "sqlite:///g.db", "the gateway's own"),
        (["${REGION}"], "sqlite:///g.db", "no name of an environment variable"),
        (["A-B"], "sqlite:///g.db", "no name of an environment variable"),
        ([""], "sqlite:///g.db", "no name of an environment variable"),
    ],
)
def test_lists_of_variables(key: str, names: list[str], database: str | None, hint: str) -> None:
    with pytest.raises(ValidationError, match=hint):
        model.Settings.model_validate({"database": database, key: names})


def test_a_bound_secret_is_missing_for_every_other_origin() -> None:
    here = single.stored({"name": "a", "path": "/a", "upstream": "https://h/x", "headers": {"K": "{secret.KEY}"}})
    there = single.stored({"name": "b", "path": "/b", "upstream": "http://h", "headers": {"K": "{secret.KEY}"}})
    settings = model.Settings(database="sqlite:///g.db", proxies=(here, there))
    record = settings.record({}, {"KEY": "v"}, [here, there], {"KEY": {"https://h"}})
    assert [p.headers[0].parts[0] for p in record.proxies] == ["v", document.Missing("secret.KEY")] * 2


@pytest.mark.parametrize(
    ("cors", "hint"),
    [
        ({"allow_origins": ["app.test"]}, "write https://app.example.org"),
        ({"allow_origins": ["https://app.test/"]}, "an origin alone"),
        ({"allow_origins": ["https://*.app.test"]}, "an origin alone"),
        ({"allow_origins": ["https://user@app.test"]}, "an origin alone"),
        ({"allow_origins": ["null"]}, "every page can make its origin null"),
        ({"allow_origins": ["*", "https://app.test"]}, "write it alone"),
        ({"allow_origins": ["*"], "allow_credentials": True}, "list the origins instead of \\*"),
        ({"expose_headers": ["a b"]}, "no name of a header field"),
        ({"allow_methods": ["GET"]}, "Extra inputs"),
    ],
)
def test_what_no_page_should_get_is_refused(cors: dict[str, object], hint: str) -> None:
    plain = {"name": "a", "path": "/a", "upstream": "http://h", "cors": cors}
    with pytest.raises(ValidationError, match=hint):
        model.Proxy.model_validate(plain)


def test_origins_are_written_as_browsers_write_them() -> None:
    listed = ["HTTPS://App.test:443", "http://localhost:3000", "http://[::1]:80", "capacitor://localhost"]
    plain = {"name": "a", "path": "/a", "upstream": "http://h", "cors": {"allow_origins": listed}}
    expected = ("https://app.test", "http://localhost:3000", "http://[::1]", "capacitor://localhost")
    assert model.Proxy.model_validate(plain).record({}, {}).cors.allow_origins == expected
