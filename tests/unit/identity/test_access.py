from __future__ import annotations

import pytest
from unit.scene import exchange

from gateway.config.document import Proxy
from gateway.core.exchange import Exchange
from gateway.errors import GatewayError
from gateway.identity.access import identify


async def inside(ex: Exchange) -> None:
    ex.status = 200


def test_a_public_proxy_costs_nothing() -> None:
    assert identify(Proxy("p", "/", "http://a", access_rule="true"))(inside) is inside


@pytest.mark.parametrize(("rule", "status"), [("", 401), ("false", 403), ("something new", 403)])
async def test_everything_else_is_closed(rule: str, status: int) -> None:
    with pytest.raises(GatewayError) as caught:
        await identify(Proxy("p", "/", "http://a", access_rule=rule))(inside)(exchange())
    assert caught.value.reason.status == status
