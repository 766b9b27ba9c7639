"""A header whose value is missing stops the request; all others pass without a layer."""

from __future__ import annotations

import pytest

from gateway import errors
from gateway.config.records import AuthField, Header, Missing
from gateway.core.exchange import Exchange
from gateway.errors import GatewayError
from gateway.proxy.layers.require_templates import require_templates


async def passes(_: Exchange) -> None:
    return None


def test_complete_headers_need_no_layer() -> None:
    assert require_templates([Header("X", ("a",)), Header("Y", (AuthField("id"),))])(passes) is passes


async def test_what_is_missing_stops_the_request() -> None:
    with pytest.raises(GatewayError) as caught:
        await require_templates([Header("X", ("a", Missing("secret.K")))])(passes)(None)  # type: ignore[arg-type]
    assert caught.value.reason is errors.TEMPLATE_MISSING
