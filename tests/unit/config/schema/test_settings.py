"""The whole file as a record; what it rejects stands in test_parse.py, in the words of the user."""

import pytest
from pydantic import ValidationError

from gateway.config import records, single
from gateway.config.errors import ConfigError
from gateway.config.load import parse
from gateway.config.schema.settings import Settings


def test_an_empty_file_would_mean_the_default_document() -> None:
    assert Settings().record({}, {}) == records.Document()


def test_a_proxy_of_the_database_reads_listed_variables_alone() -> None:
    env = {"REGION": "eu", "PGPASSWORD": "s3cret", "GATEWAY_MASTER_KEY": "s3cret"}
    settings = Settings(database="sqlite:///g.db", template_env=("REGION",))
    headers = {"A": "{env.REGION}", "B": "{env.PGPASSWORD}", "C": "{env.GATEWAY_MASTER_KEY}"}
    stored = single.stored({"name": "p", "path": "/p", "upstream": "http://h", "headers": headers})
    (record,) = settings.record(env, {}, [stored]).routes
    assert {h.name: h.parts for h in record.headers} == {
        "A": ("eu",),
        "B": (records.Missing("env.PGPASSWORD"),),
        "C": (records.Missing("env.GATEWAY_MASTER_KEY"),),
    }
    own = settings.model_copy(update={"proxies": (stored,)}).record(env, {}).routes[0]
    assert own.headers[1].parts == ("s3cret",)
    assert own.headers[2].parts == (records.Missing("env.GATEWAY_MASTER_KEY"),)


@pytest.mark.parametrize("key", ["template_env", "worker_env"])
@pytest.mark.parametrize(
    ("names", "database", "hint"),
    [
        (["REGION"], None, "without a database there is no"),
        (["GATEWAY_MASTER_KEY"], "sqlite:///g.db", "the gateway's own"),
        (["${REGION}"], "sqlite:///g.db", "not the name of an environment variable"),
        (["A-B"], "sqlite:///g.db", "not the name of an environment variable"),
        ([""], "sqlite:///g.db", "not the name of an environment variable"),
    ],
)
def test_lists_of_variables(key: str, names: list[str], database: str | None, hint: str) -> None:
    with pytest.raises(ValidationError, match=hint):
        Settings.model_validate({"database": database, key: names})


def test_a_bound_of_the_memory_needs_worker_processes() -> None:
    assert Settings.model_validate({"database": "sqlite:///g.db", "worker_max_memory": 1 << 29}).worker_max_memory
    with pytest.raises(ValidationError, match="without a database there is no worker process"):
        Settings.model_validate({"worker_max_memory": 1 << 29})


def test_a_bound_secret_is_missing_for_every_other_origin() -> None:
    here = single.stored({"name": "a", "path": "/a", "upstream": "https://h/x", "headers": {"K": "{secret.KEY}"}})
    there = single.stored({"name": "b", "path": "/b", "upstream": "http://h", "headers": {"K": "{secret.KEY}"}})
    settings = Settings(database="sqlite:///g.db", proxies=(here, there))
    record = settings.record({}, {"KEY": "v"}, [here, there], {"KEY": {"https://h"}})
    assert [p.headers[0].parts[0] for p in record.routes] == ["v", records.Missing("secret.KEY")] * 2


def test_where_web_sockets_are_relayed_http_1_1_is_spoken() -> None:
    text = (
        "upstreams: [{name: u, endpoints: [{url: 'https://u'}]}, {name: v, endpoints: [{url: 'https://v'}]}]\n"
        "proxies:\n"
        "- {name: a, path: /a, upstream: u, websocket: true}\n"
        "- {name: b, path: /b, upstream: 'https://b', websocket: true}\n"
        "- {name: c, path: /c, upstream: v}\n"
    )
    document = parse(text, "yaml", "f", {})
    assert {upstream.name: upstream.http2 for upstream in document.upstreams} == {
        "upstream u": "never",
        "upstream v": "auto",
        "b": "never",
    }


@pytest.mark.parametrize(
    "text",
    [
        "proxies: [{name: a, path: /a, upstream: 'https://a', websocket: true, http2: always}]",
        "{upstreams: [{name: u, endpoints: [{url: 'https://u'}], http2: always}], "  # noqa: ISC004 - one text
        "proxies: [{name: a, path: /a, upstream: u, websocket: true}]}",
    ],
)
def test_web_sockets_over_http_2_alone_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"WebSockets.* HTTP/1\.1.*write auto or never"):
        parse(text, "yaml", "f", {})
