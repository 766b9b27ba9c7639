"""What a caller sets instead of the action: it is no template, and it leads nowhere else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.actions.errors import InvalidCallError
from gateway.actions.merge import Merged, merge
from gateway.actions.overrides import at_link, below, literal, overridden
from gateway.config.actions import Action, Body, Connection, Parameter, Retry
from gateway.ipc.calls import Overrides

SHOP = Connection(
    "trn:openact:default:connection/http/shop@v1",
    "https://shop.test/v1",
    "upstream connection/shop",
    headers={"X-Ours": "ours"},
)
FIND = Action(
    "trn:openact:default:action/http/find@v1",
    SHOP.trn,
    "POST",
    "/orders/{id}",
    headers={"X-Note": "{note}", "X-Ours": "action"},
    query={"limit": "10"},
    body=Body("json", {"note": "{note}"}),
    parameters=(Parameter("id", "path", required=True), Parameter("note", "template")),
)


def sent(given: Overrides, connection: Connection = SHOP) -> Merged:
    return merge(connection, overridden(FIND, connection, given), {"id": "7", "note": "n"})


@pytest.mark.covers("ACT-07")
def test_each_override_replaces_that_part_alone() -> None:
    plain = sent(Overrides())
    assert (plain.method, plain.target, plain.body) == ("POST", "/v1/orders/7?limit=10", b'{"note":"n"}')
    assert sent(Overrides(method="PUT")).method == "PUT"
    assert sent(Overrides(endpoint="/other?a=b&limit=2")).target == "/v1/other?limit=2&a=b"
    assert sent(Overrides(endpoint="https://shop.test/v1/other")).target == "/v1/other?limit=10"
    assert sent(Overrides(query={"limit": "1", "q": "x"})).target == "/v1/orders/7?limit=1&q=x"
    assert sent(Overrides(headers={"x-note": "mine"})).header("X-Note") == "mine"
    assert sent(Overrides(body="plain")).body == b"plain"
    assert sent(Overrides(body=[1, {"a": None}])).body == b'[1,{"a":null}]'
    assert overridden(FIND, SHOP, Overrides(retry=Retry(retries=9))).retry == Retry(retries=9)


@pytest.mark.covers("ACT-07")
def test_a_strict_connection_wins_over_an_override() -> None:
    assert sent(Overrides(headers={"X-Ours": "mine"})).header("X-Ours") == "mine"
    strict = replace(SHOP, merge="strict")
    assert sent(Overrides(headers={"X-Ours": "mine"}), strict).header("X-Ours") == "ours"


def test_what_a_caller_writes_is_no_template() -> None:
    found = sent(Overrides(body={"q": "{user { name }} {id}"}, headers={"X-A": "{id}"}, query={"q": "{id}"}))
    assert found.body == b'{"q":"{user { name }} {id}"}'
    assert found.header("X-A") == "{id}"
    assert "q=%7Bid%7D" in found.target
    assert sent(Overrides(endpoint="/x/{id}")).target == "/v1/x/%7Bid%7D?limit=10"
    assert literal("{a}") == "%7Ba%7D"


@pytest.mark.parametrize(
    ("given", "path"),
    [
        (Overrides(method="BREW"), "overrides.method"),
        (Overrides(endpoint="https://evil.test/v1/x"), "overrides.endpoint"),
        (Overrides(endpoint="//evil.test/v1/x"), "overrides.endpoint"),
        (Overrides(endpoint="http://shop.test/v1/x"), "overrides.endpoint"),
        (Overrides(endpoint="https://shop.test:444/v1/x"), "overrides.endpoint"),
        (Overrides(endpoint="https://me@shop.test/v1/x"), "overrides.endpoint"),
        (Overrides(endpoint="https://shop.test/v10"), "overrides.endpoint"),
        (Overrides(endpoint="/a/../b"), "overrides.endpoint"),
        (Overrides(endpoint="/a/%2e%2e/b"), "overrides.endpoint"),
        (Overrides(endpoint="https://[bad/"), "overrides.endpoint"),
    ],
)
def test_an_override_leads_nowhere_else(given: Overrides, path: str) -> None:
    with pytest.raises(InvalidCallError) as caught:
        sent(given)
    assert [where for where, _ in caught.value.fields] == [path]


@pytest.mark.covers("ACT-45")
@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("https://shop.test/v1/orders?page=2", "/v1/orders?page=2"),
        ("https://SHOP.test:443/v1/orders?page=2&x=", "/v1/orders?page=2&x="),
        ("/v1/orders?page=3", "/v1/orders?page=3"),
        ("?page=4", "/v1/orders/7?page=4"),
    ],
)
def test_a_link_to_a_further_page_is_followed(link: str, target: str) -> None:
    assert at_link(sent(Overrides()), SHOP, link).target == target


@pytest.mark.parametrize("link", ["https://evil.test/v1/orders", "/v2/orders", "//evil.test/", "https://[x", "../../x"])
def test_a_link_that_leads_elsewhere_gets_no_credentials(link: str) -> None:
    with pytest.raises(InvalidCallError):
        at_link(sent(Overrides()), SHOP, link)


def test_the_base_path_itself() -> None:
    found: tuple[str, list[Any]] = below(SHOP, "https://shop.test/v1", "path")
    assert found == ("/", [])
