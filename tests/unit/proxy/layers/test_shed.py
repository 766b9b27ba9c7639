from __future__ import annotations

import pytest
from unit.scene import exchange

from gateway.core.exchange import Exchange
from gateway.errors import OVERLOADED, GatewayError
from gateway.policy.overload import Overload
from gateway.proxy.layers.shed import shed


async def serve(ex: Exchange) -> None:
    ex.status = 200


def loaded(share: float, *, shadow: bool = False) -> Overload:
    machine = Overload()
    machine.configure(0.0, 1000, shadow=shadow)
    machine.measure(1.0, 0.0, round(1000 + 100 * share))
    return machine


def test_without_a_limit_there_is_no_layer() -> None:
    assert shed(None)(serve) is serve


async def test_without_a_share_everyone_is_admitted() -> None:
    ex = exchange()
    await shed(loaded(0.0))(serve)(ex)
    assert (ex.status, ex.shadow) == (200, "")


async def test_a_share_is_refused_and_the_rest_served() -> None:
    handle = shed(loaded(0.6))(serve)
    ex = exchange()
    await handle(ex)
    assert ex.status == 200
    with pytest.raises(GatewayError) as caught:
        await handle(exchange())
    assert (caught.value.reason, caught.value.retry_after) == (OVERLOADED, 3)


async def test_in_shadow_mode_it_is_noted_who_would_have_been_refused() -> None:
    handle = shed(loaded(0.6, shadow=True))(serve)
    exchanges = [exchange(), exchange()]
    for ex in exchanges:
        await handle(ex)
    assert [(ex.status, ex.shadow) for ex in exchanges] == [(200, ""), (200, "overloaded")]
