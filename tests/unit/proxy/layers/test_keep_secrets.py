"""A secret is sent through a forward proxy that could read it only where the configuration says so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway import errors
from gateway.config.records import Header, Route
from gateway.core.exchange import Exchange
from gateway.errors import GatewayError
from gateway.proxy.layers.keep_secrets import keep_secrets

SECRET = Route("p", "/", "http://a", headers=(Header("X-Key", ("k",), secret=True),))


async def passes(_: Exchange) -> None:
    return None


@pytest.mark.parametrize(
    ("route", "legible"),
    [
        (SECRET, False),
        (replace(SECRET, clear_text_proxy=True), True),
        (replace(SECRET, headers=(Header("X-Key", ("k",)),)), True),
    ],
)
def test_what_shows_no_secret_needs_no_layer(route: Route, *, legible: bool) -> None:
    assert keep_secrets(route, legible=legible)(passes) is passes


async def test_a_secret_that_could_be_read_is_not_sent() -> None:
    with pytest.raises(GatewayError) as caught:
        await keep_secrets(SECRET, legible=True)(passes)(None)  # type: ignore[arg-type]
    assert caught.value.reason is errors.UPSTREAM_DENIED
