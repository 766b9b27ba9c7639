from __future__ import annotations

from typing import Any, cast

import pytest
from unit.scene import exchange

from gateway.core.exchange import Exchange
from gateway.errors import NO_EVENT_STREAM, GatewayError
from gateway.proxy.layers.keep_to_events import keep_to_events


class Opened:
    """What the layer reads of a stream that has begun."""

    def __init__(self, unfit: object = None) -> None:
        self.unfit = unfit


async def served(ex: Exchange) -> None:
    ex.status = 503


def test_where_no_stream_begins_early_there_is_no_layer() -> None:
    assert keep_to_events(enabled=False)(served) is served


@pytest.mark.parametrize("opened", [None, Opened()])
async def test_what_fits_passes(opened: Opened | None) -> None:
    ex = exchange()
    ex.opened = cast(Any, opened)
    await keep_to_events(enabled=True)(served)(ex)
    assert ex.status == 503


async def test_a_response_that_does_not_fit_fails_with_its_status_in_words() -> None:
    ex = exchange()
    ex.opened = cast(Any, Opened(unfit=object()))
    with pytest.raises(GatewayError, match="status 503") as caught:
        await keep_to_events(enabled=True)(served)(ex)
    assert caught.value.reason is NO_EVENT_STREAM
