from __future__ import annotations

import pytest
from unit.scene import exchange

from gateway.core.exchange import Exchange
from gateway.core.layer import Handler
from gateway.errors import BREAKER_OPEN, DIAL_FAILED, GatewayError
from gateway.policy.member import Member
from gateway.proxy.layers.count_attempts import count_attempts


def ending(status: int = 0, error: Exception | None = None, attempts: int = 1) -> Handler:
    async def handle(ex: Exchange) -> None:
        ex.attempts += attempts
        ex.status = status
        if error is not None:
            raise error

    return handle


async def test_each_attempt_counts_by_what_it_says_of_the_endpoint() -> None:
    member = Member("http://a:1")
    layer = count_attempts(member, {503})
    await layer(ending(200))(exchange())
    await layer(ending(503))(exchange())
    await layer(ending(500))(exchange())
    with pytest.raises(GatewayError):
        await layer(ending(error=GatewayError(DIAL_FAILED)))(exchange())
    with pytest.raises(RuntimeError):
        await layer(ending(error=RuntimeError("a bug")))(exchange())
    with pytest.raises(GatewayError):
        await layer(ending(error=GatewayError(BREAKER_OPEN), attempts=0))(exchange())
    assert member.take_counts() == (2, 2, 1, 0)
    assert member.take_counts() == (0, 0, 0, 0)


def test_without_a_member_there_is_no_layer() -> None:
    handler = ending(200)
    assert count_attempts(None)(handler) is handler
