"""One line for each proxy whose requests go through a forward proxy of the environment."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, cast

import pytest
from harness.records import proxy

from gateway.config.records import Header
from gateway.policy.group import Condition
from gateway.policy.member import Member
from gateway.proxy.inspect.forward_proxies import log_forward_proxy
from gateway.proxy.snapshot import Served
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.forward_proxy import ForwardProxy, forward_proxy
from gateway.upstream.origin import Origin
from gateway.upstream.upstream import Upstream

SECRET = (Header("X-Key", ("k",), secret=True),)


@dataclass
class Connector:
    proxy: ForwardProxy | None
    absolute_form: bytes


@dataclass
class Pool:
    connector: Connector


def logged(
    caplog: pytest.LogCaptureFixture, url: str, variable: str, *, twice: bool = False, **settings: Any
) -> list[tuple[int, str]]:
    """``twice``: the upstream of its fallback is reached in the same way."""
    origin = Origin.of(url)
    found = forward_proxy(origin, {variable: "http://fp:3128"})
    pool = Pool(Connector(found, b"http://origin" if origin.scheme == "http" else b""))
    records = proxy("p", "/", url, **settings)
    endpoint = Endpoint(origin, cast(Any, pool), None, Condition(Member(origin.url)))
    upstream = Upstream(records.upstream, (endpoint,), None, None)
    with caplog.at_level(logging.INFO, "gateway"):
        log_forward_proxy(Served(records.route, upstream, cast(Any, None), second=upstream if twice else None))
    return [(record.levelno, record.getMessage()) for record in caplog.records]


def test_the_way_to_a_fallback_is_logged_too(caplog: pytest.LogCaptureFixture) -> None:
    assert len(logged(caplog, "http://origin.test", "http_proxy", twice=True)) == 2


def test_a_direct_way_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert logged(caplog, "http://origin.test", "https_proxy") == []


@pytest.mark.parametrize(
    ("url", "variable", "settings", "level", "words"),
    [
        ("http://origin.test", "http_proxy", {}, logging.INFO, "as http_proxy says"),
        ("https://origin.test", "https_proxy", {"headers": SECRET}, logging.INFO, "as https_proxy says"),
        ("http://origin.test", "http_proxy", {"headers": SECRET}, logging.ERROR, "its requests are refused"),
        (
            "http://origin.test",
            "http_proxy",
            {"headers": SECRET, "clear_text_proxy": True},
            logging.WARNING,
            "which can read the secrets",
        ),
    ],
)
def test_what_it_can_read_decides_the_level(
    caplog: pytest.LogCaptureFixture, url: str, variable: str, settings: dict[str, Any], level: int, words: str
) -> None:
    ((found, text),) = logged(caplog, url, variable, **settings)
    assert found == level
    assert text.startswith(f"proxy p: {url} is reached through http://fp:3128")
    assert words in text
