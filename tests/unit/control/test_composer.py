"""What a worker gets from a file and a database, and what it does not get, with the reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from unit.control.scene import NOON, line, stored, written

from gateway.config import single_call
from gateway.config.errors import ConfigError, Problem
from gateway.config.load import load_settings
from gateway.config.overrides import Overrides
from gateway.config.records import JwtIssuer, Listener, Missing
from gateway.config.schema.mcp import Mcp
from gateway.config.schema.settings import Settings
from gateway.control.composer import Composer, Composition, StoredRecords, credentials
from gateway.control.options import Options
from gateway.core.address import Address
from gateway.store.accounts import Token
from gateway.store.calls import StoredAction, StoredConnection
from gateway.store.repository import Record

LISTEN = (Address("127.0.0.1", 9999),)


def settings(folder: Path, *proxies: str) -> Settings:
    file = folder / "gateway.yaml"
    file.write_text(written(folder, *proxies))
    return load_settings(file, {})


@pytest.fixture
def composer(tmp_path: Path) -> Composer:
    return Composer(Options(tmp_path / "gateway.yaml", Overrides(listen=LISTEN)), {})


def test_the_file_wins_over_the_database(tmp_path: Path, composer: Composer) -> None:
    records = StoredRecords([stored("a"), stored("other", path="/a"), stored("b")])
    made = composer.compose(settings(tmp_path, line("a")), records)
    assert [proxy.name for proxy in made.document.routes] == ["a", "b"]
    assert not made.unusable
    assert made.document.listen == tuple(map(Listener, LISTEN))  # the command line wins over both


def test_a_front_door_of_the_file_wins_too(tmp_path: Path, composer: Composer) -> None:
    file = settings(tmp_path, line("a"))
    door = Mcp.model_validate({"name": "tools", "path": "/mcp", "hosts": ("a.example",)})
    here = stored("here", path="/mcp", hosts=["a.example"])
    made = composer.compose(
        file.model_copy(update={"mcp": (door,)}), StoredRecords([here, stored("every", path="/mcp")])
    )
    assert [route.name for route in made.document.routes] == ["a", "every", "mcp/tools"]


def test_a_name_for_via_is_that_of_the_file_or_of_the_start(tmp_path: Path, composer: Composer) -> None:
    file = settings(tmp_path, line("a"))
    started = Composer(Options(tmp_path / "gateway.yaml", Overrides(listen=LISTEN), "breakwater-1"), {})
    assert started.compose(file, StoredRecords()).document.via == "breakwater-1"
    own = file.model_copy(update={"via": "edge-1"})
    assert started.compose(own, StoredRecords()).document.via == "edge-1"
    assert composer.compose(file, StoredRecords()).document.via.startswith("breakwater-")


def test_one_proxy_that_cannot_be_served_takes_no_other_along(tmp_path: Path, composer: Composer) -> None:
    made = composer.compose(settings(tmp_path), StoredRecords([stored("bad", upstream="ftp://h"), stored("good")]))
    assert [proxy.name for proxy in made.document.routes] == ["good"]
    assert made.unusable.keys() == {"bad"}
    assert "proxy bad of the database" in made.unusable["bad"]


@pytest.mark.parametrize(("read", "warned"), [(True, True), (False, False)])
def test_a_missing_secret_is_a_warning_once_the_database_was_read(
    tmp_path: Path, composer: Composer, read: bool, warned: bool
) -> None:
    file = settings(tmp_path, line("a", headers='{X-K: "{secret.K}"}'))
    made = composer.compose(file, StoredRecords(read=read))
    assert [proxy.name for proxy in made.document.routes] == ["a"]
    assert any("{secret.K}" in warning for warning in made.warnings) == warned


def test_a_proxy_of_the_database_may_have_the_name_of_an_upstream_of_the_file(
    tmp_path: Path, composer: Composer
) -> None:
    """Each keeps the back end that it has."""
    file = tmp_path / "gateway.yaml"
    more = "upstreams: [{name: ai, endpoints: [{url: http://of.the.file}]}]\n"
    file.write_text(written(tmp_path, line("chat", upstream="ai"), more=more))
    made = composer.compose(load_settings(file, {}), StoredRecords([stored("ai", upstream="http://of.the.database")]))
    urls = {upstream.name: upstream.endpoints[0].url for upstream in made.document.upstreams}
    assert {route.name: urls[route.upstream] for route in made.document.routes} == {
        "chat": "http://of.the.file",
        "ai": "http://of.the.database",
    }


def test_a_bound_secret_goes_to_an_upstream_of_its_origin_alone(tmp_path: Path, composer: Composer) -> None:
    file = tmp_path / "gateway.yaml"
    more = "upstreams: [{name: ai, endpoints: [{url: http://ai.test/v1}]}]\n"
    proxies = [
        line(name, upstream="ai", headers=f'{{X-K: "{{secret.{key}}}"}}') for name, key in (("a", "A"), ("b", "B"))
    ]
    file.write_text(written(tmp_path, *proxies, more=more))
    bound = {"A": frozenset({"http://ai.test"}), "B": frozenset({"http://other.test"})}
    made = composer.compose(load_settings(file, {}), StoredRecords(secrets={"A": "1", "B": "2"}, bound=bound))
    assert [route.headers[0].parts for route in made.document.routes] == [("1",), (Missing("secret.B"),)]
    assert any("{secret.B}, which is bound to other origins" in warning for warning in made.warnings)


def test_what_an_operator_has_drained_gets_no_new_requests(tmp_path: Path, composer: Composer) -> None:
    """By upstream and origin: another base path is the same endpoint, another upstream is not, nor what is gone."""
    file = tmp_path / "gateway.yaml"
    endpoints = "[{url: http://a/base}, {url: http://b, weight: 3}, {url: http://c, drain: true}]"
    more = f"upstreams: [{{name: ai, endpoints: {endpoints}}}, {{name: other, endpoints: [{{url: http://b}}]}}]\n"
    file.write_text(written(tmp_path, line("own", upstream="http://b"), more=more))
    plain = composer.compose(load_settings(file, {}), StoredRecords()).document
    drained = {("upstream ai", "http://a"), ("upstream ai", "http://gone"), ("ai", "http://b"), ("gone", "http://b")}
    made = composer.compose(load_settings(file, {}), StoredRecords(drained=drained)).document
    ai, *others = made.upstreams
    assert [(each.url, each.weight, each.drain) for each in ai.endpoints] == [
        ("http://a/base", 1, True),
        ("http://b", 3, False),
        ("http://c", 1, True),
    ]
    assert others == [*plain.upstreams[1:]]
    assert replace(made, upstreams=plain.upstreams) == plain


def test_a_token_for_metrics_proves_nothing_to_a_proxy() -> None:
    def token(scope: str | None) -> Token:
        return Token("1", "ci", "token", False, None, NOON, 0.0, None, {"team": "x"}, scope)

    issuer = JwtIssuer("iss", "aud", ("RS256",), "", "sub", "http://h")
    made = credentials({"d": token(None), "m": token("metrics")}, (issuer,))
    assert list(made.tokens) == ["d"]
    assert made.tokens["d"].claims == {"team": "x"}
    assert made.issuers == (issuer,)


SHOP = {"name": "shop", "base_url": "http://h"}


def connection(**more: object) -> StoredConnection:
    value = single_call.connection({**SHOP, **more})
    return Record("id", value.trn, 1, NOON, NOON, {}, value)


def action(name: str = "find", **more: object) -> StoredAction:
    value = single_call.action({"name": name, "connection": "shop", **more})
    return Record("id", value.trn, 1, NOON, NOON, {}, value)


def called(made: Composition) -> list[str]:
    return [each.trn.removeprefix("trn:openact:") for each in (*made.document.connections, *made.document.actions)]


def test_connections_and_actions_of_the_database_are_served(tmp_path: Path, composer: Composer) -> None:
    hub = line("hub", upstream="connection/shop")
    stored = StoredRecords(connections=[connection()], actions=[action(), action("off", enabled=False)])
    made = composer.compose(settings(tmp_path, hub), stored)
    assert called(made) == ["default:connection/http/shop@v1", "default:action/http/find@v1"]
    assert {route.upstream for route in (*made.document.routes, *made.document.calls)} == {"upstream connection/shop"}
    assert "upstream connection/shop" in [each.name for each in made.document.upstreams]
    assert not made.unusable


@pytest.mark.parametrize(("read", "says"), [(True, "neither in the file nor in the database"), (False, "not read yet")])
def test_a_proxy_without_its_connection_takes_no_other_along(
    tmp_path: Path, composer: Composer, read: bool, says: str
) -> None:
    file = settings(tmp_path, line("hub", upstream="connection/shop"), line("other"))
    made = composer.compose(file, StoredRecords(read=read))
    assert [route.name for route in made.document.routes] == ["other"]
    assert made.unusable.keys() == {"hub"}
    assert says in made.unusable["hub"]


def test_a_proxy_sends_no_requests_to_a_server_that_takes_none(tmp_path: Path, composer: Composer) -> None:
    value = single_call.connection({"name": "cache", "kind": "redis", "url": "redis://127.0.0.1:9"})
    cache = Record("id", value.trn, 1, NOON, NOON, {}, value)
    hub, web = stored("hub", upstream="connection/cache"), line("web", upstream="connection/cache")
    made = composer.compose(settings(tmp_path, web, line("other")), StoredRecords([hub], connections=[cache]))
    assert [route.name for route in made.document.routes] == ["other"]
    assert made.unusable.keys() == {"hub", "web"}
    assert all("takes no HTTP requests" in why for why in made.unusable.values())
    assert called(made) == ["default:connection/redis/cache@v1"], "the connection itself is served"


def test_a_proxy_of_the_database_may_name_a_connection_too(tmp_path: Path, composer: Composer) -> None:
    hub = stored("hub", upstream="connection/shop")
    made = composer.compose(settings(tmp_path), StoredRecords([hub], connections=[connection()]))
    assert [(route.name, route.upstream) for route in made.document.routes] == [("hub", "upstream connection/shop")]
    made = composer.compose(settings(tmp_path), StoredRecords([hub, stored("other")]))
    assert [route.name for route in made.document.routes] == ["other"]
    assert made.unusable.keys() == {"hub"}


def test_records_that_cannot_be_used_are_left_out_with_the_reason(tmp_path: Path, composer: Composer) -> None:
    broken = replace(connection(), value=ConfigError("connection x of the database", [Problem("is bad")]))
    made = composer.compose(settings(tmp_path), StoredRecords(connections=[broken], actions=[action()]))
    assert called(made) == []
    assert made.unusable.keys() == {broken.name, action().name}
    file = tmp_path / "gateway.yaml"
    file.write_text(f"{file.read_text()}\nconnections: {{shop: {{base_url: http://h}}}}\n")
    made = composer.compose(load_settings(file, {}), StoredRecords(connections=[broken], actions=[action()]))
    assert called(made) == ["default:connection/http/shop@v1", "default:action/http/find@v1"]
    assert not made.unusable, "what the file hides is no problem"
