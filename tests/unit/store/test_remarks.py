"""What the log and `gateway check` say of proxies whose headers name something that they do not get."""

from __future__ import annotations

import textwrap
from collections.abc import Container, Mapping

from gateway.config import single
from gateway.config.header_template import AnySecret
from gateway.config.load import settings_in
from gateway.config.schema.proxy import Proxy
from gateway.store.remarks import remarks, without_connection

FILE = """\
database: sqlite:///x.db
proxies:
  - {name: a, path: /a, upstream: "http://127.0.0.1:9", headers: {X-Key: "{secret.KEY}"}}
"""


def stored(headers: dict[str, str]) -> Proxy:
    return single.stored({"name": "b", "path": "/b", "upstream": "http://127.0.0.1:9", "headers": headers})


def said(secrets: Container[str], bound: Mapping[str, Container[str]], *proxies: Proxy) -> list[str]:
    return list(remarks(settings_in(FILE, "yaml", "f", {}), proxies, secrets, bound))


def test_a_secret_that_does_not_exist() -> None:
    b = stored({"X-Key": "{secret.OTHER} {secret.KEPT}"})
    assert said({"KEPT"}, {}, b) == [
        f"proxy {name} names {{secret.{key}}}, and there is no such secret: its requests get 500 template_missing. "
        f"Change its headers, or run: gateway secret set {key}"
        for name, key in (("a of the file", "KEY"), ("b of the database", "OTHER"))
    ]
    assert said({"KEPT", "KEY", "OTHER"}, {}, b) == []
    assert said(AnySecret(), {}, b) == []


def test_a_secret_that_is_bound_to_another_origin() -> None:
    (sentence,) = said({"KEY"}, {"KEY": {"http://h"}})
    assert sentence.startswith("proxy a of the file names {secret.KEY}, which is bound to other origins than")


def test_a_secret_that_is_bound_to_another_origin_than_the_upstream_that_a_proxy_names() -> None:
    file = FILE.replace('"http://127.0.0.1:9"', "ai") + "upstreams: [{name: ai, endpoints: [{url: http://h:9}]}]\n"
    settings = settings_in(file, "yaml", "f", {})
    assert list(remarks(settings, [], {"KEY"}, {"KEY": {"http://h:9"}})) == []
    (sentence,) = remarks(settings, [], {"KEY"}, {"KEY": {"http://h"}})
    assert sentence.startswith("proxy a of the file names {secret.KEY}, which is bound to other origins than")


def test_a_variable_that_is_not_listed() -> None:
    b = stored({"X": "{env.HOME}"})
    (sentence,) = said({"KEY"}, {}, b)
    assert sentence.startswith("proxy b of the database names {env.HOME}, which templates of the database may not read")


def test_a_connection_that_is_nowhere() -> None:
    text = """
        database: sqlite:///x.db
        connections: {own: {base_url: "http://h", tenant: acme}}
        proxies:
          - {name: a, path: /a, upstream: connection/acme/own}
          - {name: b, path: /b, upstream: connection/shop}
          - {name: c, path: /c, upstream: "http://h", fallback: {on: [connect], upstream: connection/acme/shop}}
    """
    file = settings_in(textwrap.dedent(text), "yaml", "f", {})
    assert list(without_connection(file, {("default", "shop"), ("acme", "shop")})) == []
    said = list(without_connection(file, {("acme", "own")}))
    assert [sentence.split(",")[0] for sentence in said] == [
        "proxy b of the file names connection/shop",
        "proxy c of the file names connection/acme/shop",
    ]
