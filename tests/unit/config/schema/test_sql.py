"""Connections and actions of SQL: URLs, credentials, and what is shown of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness.tls import write_certificates
from pydantic import ValidationError

from gateway.config import kinds, load
from gateway.config.errors import ConfigError
from gateway.config.schema import sql
from gateway.config.schema.outbound_auth import Basic
from gateway.config.schema.sql import Server, ServerTls, SqlAction, SqlConnection


@pytest.mark.parametrize(
    ("url", "place", "dialect"),
    [
        ("postgresql://reader:s3cret@db.internal/shop", "postgresql://db.internal:5432", "postgresql"),
        ("postgres://reader@[::1]:7/shop", "postgres://[::1]:7", "postgresql"),
        ("mariadb://reader@db/shop", "mariadb://db:3306", "mysql"),
        ("mysql://reader@db:33060", "mysql://db:33060", "mysql"),
        ("sqlite:///shop.db", "sqlite://", "sqlite"),
    ],
)
def test_where_it_is_is_shown_without_credentials(url: str, place: str, dialect: str) -> None:
    made = SqlConnection(url=url)
    assert (made.place(), made.dialect) == (place, dialect)
    assert "s3cret" not in repr(made)
    assert "s3cret" not in repr(made.record("c"))


@pytest.mark.parametrize(
    ("url", "auth", "user", "password", "kind"),
    [
        ("postgresql://r%40d:p%2Fw@h/n", None, "r@d", "p/w", "basic"),
        ("postgresql://h/n", Basic(type="basic", username="u", password="w"), "u", "w", "basic"),
        ("postgresql://u@h/n", None, "u", "", "none"),
    ],
)
def test_credentials(url: str, auth: Basic | None, user: str, password: str, kind: str) -> None:
    made = SqlConnection(url=url, auth=auth)
    assert (made.server.user, made.server.password, made.authenticates()) == (user, password, kind)
    assert made.secrets() == ((password,) if password else ())


@pytest.mark.parametrize(("url", "auth"), [("postgresql://h/n", None), ("mysql://:s3cret@h/n", None)])
def test_a_server_without_a_user_says_how_to_name_one(url: str, auth: Basic | None) -> None:
    with pytest.raises(ValidationError, match="the url names no user; write USER@") as error:
        SqlConnection(url=url, auth=auth)
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "name"),
    [("postgresql://h/a%20b", "a b"), ("sqlite:///a/b.db", "a/b.db"), ("sqlite:////srv/b.db", "/srv/b.db")],
)
def test_the_name_of_a_database(url: str, name: str) -> None:
    assert Server(url).name == name


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("oracle://s3cret@h/n", "must begin with one of postgresql://"),
        ("postgresql://s3cret@h:x/n", "is no URL"),
        ("postgresql://s3cret@h:0/n", "must begin with"),
        ("postgresql://h/n?password=s3cret", "must have no ? and no #"),
        ("postgresql:///s3cret", "must name a host"),
        ("sqlite://s3cret/a", "must name a file"),
        ("sqlite:///", "must name a file"),
    ],
)
def test_a_url_that_is_none_says_so_without_the_secret(url: str, says: str) -> None:
    with pytest.raises(ConfigError) as error:
        load.parse(f"connections: {{c: {{kind: sql, url: '{url}'}}}}", "yaml", "f", {})
    assert f"connections.c.url: {says}" in str(error.value)
    assert "s3cret" not in str(error.value)


def test_a_driver_that_is_missing_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(module: str, extra: str) -> None:
        raise kinds.UnknownKindError(f"needs the package {module}; run pip install 'breakwater-gateway[{extra}]'")

    monkeypatch.setattr(sql.kinds, "require", missing)
    with pytest.raises(ConfigError, match=r"pip install 'breakwater-gateway\[mysql\]'"):
        load.parse("connections: {c: {kind: sql, url: 'mysql://h/n'}}", "yaml", "f", {})
    load.parse("connections: {c: {kind: sql, url: 'sqlite:///f'}}", "yaml", "f", {})


def test_certificates_travel_as_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_certificates(tmp_path)
    monkeypatch.chdir(tmp_path)
    made = SqlConnection(url="postgresql://u@h/n", tls=ServerTls(mode="verify", ca="partners.pem"))
    sent = made.record("c").settings["tls"]
    assert sent["ca_pem"].startswith("-----BEGIN CERTIFICATE")
    assert "ca" not in {key for key, value in sent.items() if value}
    assert ServerTls().texts() == ServerTls()
    with pytest.raises(ValidationError):
        ServerTls(ca="partners.pem", ca_pem="x")


def test_what_an_action_says_of_itself() -> None:
    action = SqlAction(connection="c", statement="SELECT *\n  FROM t WHERE id = :id")
    assert (action.names(), action.repeatable()) == (("id",), True)
    assert action.summary() == "SELECT * FROM t WHERE id = :id"
    plan = {"statement": action.statement, "values": {"id": 7}, "read_only": True, "max_rows": 1000}
    assert action.plan({"id": 7, "other": 1}) == plan
    assert SqlAction(connection="c", statement=f"SELECT {'a' * 200}").summary().endswith("...")
    assert not SqlAction(connection="c", statement="DELETE FROM t", read_only=False).repeatable()


def test_a_statement_that_is_rejected_has_its_place() -> None:
    text = (
        "connections: {c: {kind: sql, url: 'sqlite:///f'}}\nactions: {a: {connection: c, statement: 'SELECT 1::int'}}"
    )
    with pytest.raises(ConfigError, match=r"f:2: actions\.a\.statement: has ::, which collides"):
        load.parse(text, "yaml", "f", {})
