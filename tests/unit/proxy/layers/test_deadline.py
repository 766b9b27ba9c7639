from __future__ import annotations

import asyncio
import contextlib

import pytest
from unit.scene import Clock, exchange

from gateway.core.exchange import Exchange
from gateway.core.layer import Handler
from gateway.errors import TOTAL_TIMEOUT, UPSTREAM_RESET, GatewayError
from gateway.proxy.layers.deadline import Expiry, deadline

SHORT, LONG = 0.002, 60.0


async def forever(ex: Exchange) -> None:
    await asyncio.get_running_loop().create_future()


def current_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    assert task is not None
    return task


async def started(handle: Handler, ex: Exchange) -> asyncio.Task[None]:
    """A task that stands inside the handler."""
    task = asyncio.ensure_future(handle(ex))
    await asyncio.sleep(0)
    return task


@pytest.mark.parametrize("total", [0.0, -1.0])
def test_no_total_no_layer(total: float) -> None:
    assert deadline(total)(forever) is forever


async def test_the_deadline_is_absolute() -> None:
    clock = Clock(500.0)
    seen: list[float] = []

    async def below(ex: Exchange) -> None:
        seen.append(ex.deadline)

    await deadline(7.0, clock)(below)(exchange())
    assert seen == [507.0]


async def test_what_takes_too_long_is_ended() -> None:
    ex = exchange()
    with pytest.raises(GatewayError) as caught:
        await deadline(SHORT)(forever)(ex)
    assert caught.value.reason is TOTAL_TIMEOUT
    assert caught.value.__suppress_context__, "the cancellation is ours and not worth telling"
    assert ex.reason == "total_timeout"


async def test_a_task_that_was_ended_so_is_as_good_as_new() -> None:
    for _ in range(3):
        with pytest.raises(GatewayError):
            await deadline(SHORT)(forever)(exchange())
        assert current_task().cancelling() == 0
        await asyncio.sleep(0)


async def test_the_layers_below_learn_the_reason() -> None:
    seen: list[str] = []

    async def below(ex: Exchange) -> None:
        try:
            await forever(ex)
        except asyncio.CancelledError:
            seen.append(ex.reason)
            raise

    with pytest.raises(GatewayError):
        await deadline(SHORT)(below)(exchange())
    assert seen == ["total_timeout"]


async def test_the_alarm_is_switched_off_at_the_end() -> None:
    async def below(ex: Exchange) -> None:
        ex.status = 200

    ex = exchange()
    await deadline(SHORT)(below)(ex)
    await asyncio.sleep(SHORT * 5)  # the cancellation of a forgotten alarm would end this
    assert (ex.status, ex.reason, current_task().cancelling()) == (200, "", 0)


async def test_a_tunnel_is_not_ended() -> None:
    """The time of a tunnel begins where the deadline's ends: at the 101."""
    ended = asyncio.Event()

    async def below(ex: Exchange) -> None:
        ex.status = 101
        await ended.wait()

    ex = exchange()
    task = await started(deadline(SHORT)(below), ex)
    await asyncio.sleep(SHORT * 5)
    assert (task.done(), task.cancelling(), ex.reason) == (False, 0, "")
    ended.set()
    await task


async def test_an_error_from_below_passes_and_switches_the_alarm_off() -> None:
    async def below(ex: Exchange) -> None:
        raise GatewayError(UPSTREAM_RESET)

    with pytest.raises(GatewayError) as caught:
        await deadline(SHORT)(below)(exchange())
    assert caught.value.reason is UPSTREAM_RESET
    await asyncio.sleep(SHORT * 5)


async def test_a_client_that_leaves_is_not_a_timeout() -> None:
    ex = exchange()
    task = await started(deadline(LONG)(forever), ex)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (ex.reason, task.cancelling()) == ("", 1)


@pytest.fixture
def alarms(monkeypatch: pytest.MonkeyPatch) -> list[Expiry]:
    """The alarms that were armed: fired by hand, two things can happen in the very same turn of the loop."""
    armed: list[Expiry] = []

    class Seen(Expiry):
        def __init__(self, exchange: Exchange, task: asyncio.Task[object]) -> None:
            super().__init__(exchange, task)
            armed.append(self)

    monkeypatch.setattr("gateway.proxy.layers.deadline.Expiry", Seen)
    return armed


@pytest.mark.parametrize("client_first", [True, False])
async def test_a_client_that_leaves_at_the_same_moment_wins(alarms: list[Expiry], client_first: bool) -> None:
    ex = exchange()
    task = await started(deadline(LONG)(forever), ex)
    [alarm] = alarms
    for act in (task.cancel, alarm.fire) if client_first else (alarm.fire, task.cancel):
        act()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (ex.reason, task.cancelling(), task.cancelled()) == ("", 1, True)


async def test_an_alarm_does_not_disturb_the_cleaning_up_after_a_client(alarms: list[Expiry]) -> None:
    cleaned: list[bool] = []
    linger = asyncio.get_running_loop().create_future()

    async def below(ex: Exchange) -> None:
        try:
            await forever(ex)
        finally:
            await linger
            cleaned.append(True)

    task = await started(deadline(LONG)(below), exchange())
    task.cancel()
    await asyncio.sleep(0)
    alarms[0].fire()
    linger.set_result(None)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned == [True]


async def test_a_client_that_leaves_during_the_cleaning_up_after_a_timeout_wins(alarms: list[Expiry]) -> None:
    async def below(ex: Exchange) -> None:
        try:
            await forever(ex)
        finally:
            await forever(ex)

    ex = exchange()
    task = await started(deadline(LONG)(below), ex)
    alarms[0].fire()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ex.reason == ""


async def test_an_interruption_that_ends_in_another_error_is_told_as_that_error(alarms: list[Expiry]) -> None:
    async def below(ex: Exchange) -> None:
        try:
            await forever(ex)
        except asyncio.CancelledError:
            raise GatewayError(UPSTREAM_RESET) from None

    async def client() -> int:
        with pytest.raises(GatewayError) as caught:
            await deadline(LONG)(below)(exchange())
        assert caught.value.reason is UPSTREAM_RESET
        return current_task().cancelling()

    task = asyncio.ensure_future(client())
    await asyncio.sleep(0)
    alarms[0].fire()
    assert await task == 0


async def test_in_a_task_that_survived_a_cancellation_only_our_own_is_taken_back() -> None:
    async def client() -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await forever(exchange())
        with pytest.raises(GatewayError):
            await deadline(SHORT)(forever)(exchange())
        return f"{current_task().cancelling()} left"

    task = asyncio.ensure_future(client())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "1 left"
