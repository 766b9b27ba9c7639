"""Every cell of the table of tunnels, and what a tunnel does on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

import pytest
from harness.scripted import ScriptedEnd
from harness.websocket import CLOSE, GOING_AWAY, frame, masked, unmask

from gateway.core.stream import TUNNEL_ENDS
from gateway.errors import GatewayError
from gateway.wire import tunnel as module
from gateway.wire.tunnel import ENDINGS, FIN_SECONDS, TUNNEL, TUNNEL_TIMERS, Tunnel, TunnelEvent, TunnelState

IDLE = 77.0


class Stage:
    def __init__(self, *, framed: bool = True, idle: float = IDLE) -> None:
        self.near, self.far = ScriptedEnd(), ScriptedEnd()
        self.tunnel = Tunnel(asyncio.get_running_loop(), self.near, self.far, framed=framed)  # type: ignore[arg-type]
        self.task = asyncio.ensure_future(self.tunnel.over(idle))

    async def begin(self) -> None:
        await asyncio.sleep(0)

    @property
    def bound(self) -> float | None:
        expires = self.tunnel._timer.expires_at
        return round(expires - monotonic()) if expires else None

    def expire(self) -> None:
        assert self.tunnel._timer.expires_at, "a timer runs"
        self.tunnel._timer.expires_at = 0.0
        self.tunnel._on_timeout()

    async def error(self) -> str:
        """The reason with which it has ended."""
        try:
            await self.task
        except GatewayError as error:
            return error.reason.code
        return ""

    def says(self, data: bytes) -> None:
        """The endpoint sends ``data``."""
        self.tunnel.outward.data(memoryview(data), pooled=False)

    def hears(self, data: bytes) -> None:
        """The caller sends ``data``."""
        self.tunnel.inward.data(memoryview(data), pooled=False)


async def in_state(state: TunnelState) -> Stage:
    stage = Stage()
    await stage.begin()
    ways: dict[TunnelState, Callable[[], object]] = {
        TunnelState.DRAINING: stage.tunnel.drain,
        TunnelState.INWARD_ENDED: stage.tunnel.inward.end,
        TunnelState.OUTWARD_ENDED: stage.tunnel.outward.end,
        TunnelState.ENDED: lambda: stage.tunnel.cut(0.0),
    }
    if state in ways:
        ways[state]()
    assert stage.tunnel.state is state
    return stage


@pytest.mark.parametrize("state", TunnelState, ids=lambda state: state.name)
@pytest.mark.parametrize("event", TunnelEvent, ids=lambda event: event.name)
async def test_every_cell(state: TunnelState, event: TunnelEvent) -> None:
    stage = await in_state(state)
    tunnel = stage.tunnel
    after = TUNNEL[event][state]
    if after is None:
        with pytest.raises(AssertionError, match="cannot happen"):
            tunnel.move(event)
        after = state
    else:
        events: dict[TunnelEvent, Callable[[], object]] = {
            TunnelEvent.LAST_IN: tunnel.inward.end,
            TunnelEvent.LAST_OUT: tunnel.outward.end,
            TunnelEvent.CALLER_LOST: tunnel.caller_lost,
            TunnelEvent.ENDPOINT_LOST: tunnel.endpoint_lost,
            TunnelEvent.EXPIRED: stage.expire,
            TunnelEvent.DRAIN: tunnel.drain,
            TunnelEvent.CUT: lambda: tunnel.cut(0.0),
        }
        events[event]()
    assert tunnel.state is after
    bounds = {"idle": IDLE, "fin": FIN_SECONDS, "-": None}
    assert stage.bound == bounds[TUNNEL_TIMERS[after]]
    assert len(stage.far.abandoned) == (after is TunnelState.ENDED)
    assert tunnel.ending in ("", *TUNNEL_ENDS)
    if after is TunnelState.ENDED:
        assert tunnel.ending
    tunnel.cut(0.0)
    await stage.error()


def test_each_ending_has_its_word() -> None:
    assert set(ENDINGS.values()) | {"drained"} == set(TUNNEL_ENDS)
    assert ENDINGS.keys() == set(TunnelEvent) - {TunnelEvent.DRAIN}


async def test_bytes_go_to_the_other_side_and_the_slow_side_holds_them() -> None:
    stage = Stage(framed=False)
    stage.says(b"down")
    stage.hears(b"up")
    assert (stage.near.written, stage.far.written) == (b"down", b"up")
    stage.tunnel.outward.flush()
    assert (stage.near.flushed, stage.far.flushed) == (True, False)
    stage.tunnel.outward.hold()  # the caller is slow: the endpoint waits
    assert (stage.near.held, stage.far.held) == (False, True)
    stage.tunnel.outward.resume()
    assert not stage.far.held
    stage.tunnel.cut(0.0)
    await stage.error()


async def test_an_end_is_passed_on_behind_the_bytes_before_it() -> None:
    stage = Stage()
    stage.near.full = True
    stage.says(frame(b"last"))
    stage.tunnel.outward.end()
    stage.tunnel.outward.end()
    assert stage.near.finished
    assert stage.tunnel.state is TunnelState.OPEN, "the caller has yet to take it"
    stage.near.full = False
    stage.tunnel.outward.resume()
    assert stage.tunnel.state is TunnelState.OUTWARD_ENDED
    stage.hears(masked(b"more"))
    assert stage.far.written == masked(b"more")
    assert stage.bound == FIN_SECONDS, "and no byte moves it"
    stage.tunnel.inward.end()
    assert (await stage.error(), stage.tunnel.ending, stage.far.abandoned) == ("", "upstream", [0.0])


async def test_any_byte_moves_the_bound() -> None:
    stage = Stage()
    await stage.begin()
    for act in (lambda: stage.says(b"\x81"), lambda: stage.hears(b"\x81")):
        stage.tunnel._timer.expires_at = monotonic() + 1
        act()
        assert stage.bound == IDLE
    stage.expire()
    assert (await stage.error(), stage.tunnel.ending) == ("tunnel_idle_timeout", "idle")


async def test_no_bound() -> None:
    stage = Stage(idle=0)
    await stage.begin()
    stage.says(b"\x81")
    assert stage.bound is None
    stage.tunnel.cut(0.0)
    assert await stage.error() == ""


async def test_bytes_on_their_way_to_a_slow_side_are_a_move() -> None:
    for side in ("near", "far"):
        stage = Stage()
        await stage.begin()
        end: ScriptedEnd = getattr(stage, side)
        for left in (1000, 500, 1):
            end.unacknowledged = left
            stage.expire()
            assert stage.bound == module._LOOK_SECONDS
        stage.says(b"\x81")  # begins anew
        end.unacknowledged = 1
        stage.expire()
        stage.expire()
        assert (await stage.error(), stage.tunnel.ending) == ("tunnel_idle_timeout", "idle")


async def test_a_caller_that_left_behind_bytes_that_no_one_takes() -> None:
    stage = Stage()
    await stage.begin()
    stage.tunnel.caller_leaves()
    stage.tunnel.caller_leaves()
    assert stage.bound == FIN_SECONDS
    stage.hears(b"\x81")
    assert stage.bound == FIN_SECONDS
    stage.expire()
    assert (await stage.error(), stage.tunnel.ending) == ("", "client")
    stage.tunnel.caller_leaves()
    assert stage.bound is None


async def test_a_caller_that_left_before_anyone_waited() -> None:
    stage = Stage()
    stage.tunnel.caller_leaves()
    await stage.begin()
    assert stage.bound == FIN_SECONDS
    stage.tunnel.cut(0.0)
    await stage.error()


async def test_the_end_before_anyone_waited() -> None:
    stage = Stage()
    stage.tunnel.endpoint_lost()
    assert await stage.error() == "upstream_reset"
    assert stage.bound is None


async def test_a_side_that_breaks_off() -> None:
    stage = Stage()
    assert stage.tunnel.caller_lost()
    stage.tunnel.cut(5.0)
    assert (await stage.error(), stage.tunnel.ending) == ("", "client")
    assert 0 < stage.far.abandoned[0] <= monotonic(), "how soon it is closed is measured from here"
    stage = Stage()
    stage.tunnel.endpoint_lost()
    assert (await stage.error(), stage.tunnel.ending) == ("upstream_reset", "upstream")
    stage = Stage()
    stage.tunnel.cut(5.0)
    assert (await stage.error(), stage.far.abandoned) == ("", [5.0])


@pytest.mark.parametrize("state", [TunnelState.INWARD_ENDED, TunnelState.OUTWARD_ENDED])
async def test_breaking_off_behind_an_end_is_no_fault(state: TunnelState) -> None:
    stage = await in_state(state)
    assert not stage.tunnel.caller_lost()
    assert await stage.error() == ""
    stage = await in_state(state)
    stage.tunnel.endpoint_lost()
    assert await stage.error() == ""


async def test_nor_is_it_when_both_have_said_close() -> None:
    for side in ("caller", "endpoint"):
        stage = Stage()
        stage.hears(masked(b"\x03\xe8", CLOSE))
        assert not stage.tunnel.clean
        stage.says(frame(b"\x03\xe8", CLOSE))
        assert stage.tunnel.clean
        if side == "caller":
            assert not stage.tunnel.caller_lost()
        else:
            stage.tunnel.endpoint_lost()
        assert (await stage.error(), stage.tunnel.clean) == ("", True)


async def test_what_comes_after_the_end_goes_nowhere() -> None:
    stage = Stage()
    stage.tunnel.cut(0.0)
    stage.says(b"\x81")
    stage.hears(b"\x81")
    for way in (stage.tunnel.inward, stage.tunnel.outward):
        way.hold()
        way.resume()
        way.flush()
        way.end()
    assert (stage.near.written, stage.far.written, stage.near.finished, stage.far.finished) == (b"", b"", False, False)
    assert await stage.error() == ""


class TestDrain:
    async def test_close_is_said_at_once_between_two_frames(self) -> None:
        stage = Stage()
        stage.says(frame(b"a"))
        stage.hears(masked(b"b"))
        stage.tunnel.drain()
        assert stage.near.written == frame(b"a") + GOING_AWAY
        said = bytes(stage.far.written[len(masked(b"b")) :])
        assert (said[:2], unmask(said[6:], said[2:6])) == (b"\x88\x82", b"\x03\xe9")
        assert stage.tunnel.state is TunnelState.DRAINING
        stage.tunnel.drain()
        stage.says(frame(b"late"))
        stage.hears(masked(b"late"))
        assert stage.near.written.endswith(GOING_AWAY), "nothing follows a Close"
        assert stage.far.written.endswith(said)
        stage.hears(masked(b"\x03\xe9", CLOSE))
        assert (stage.near.finished, stage.far.finished) == (True, False)
        assert stage.tunnel.state is TunnelState.OUTWARD_ENDED
        stage.says(frame(b"\x03\xe9", CLOSE))
        assert (await stage.error(), stage.tunnel.ending, stage.far.finished) == ("", "drained", True)
        assert stage.tunnel.clean

    @pytest.mark.parametrize("split", [1, 2, 5, 30])
    async def test_or_as_soon_as_a_frame_ends(self, split: int) -> None:
        stage = Stage()
        down, up = frame(b"x" * 40), masked(b"y" * 40)
        stage.says(down[:split])
        stage.hears(up[:split])
        stage.tunnel.drain()
        assert (stage.near.written, stage.far.written) == (down[:split], up[:split])
        stage.says(down[split:20])
        stage.says(down[20:] + frame(b"dropped")) if split < 20 else stage.says(down[split:] + frame(b"dropped"))
        assert stage.near.written == down + GOING_AWAY
        stage.hears(up[split:] + masked(b"dropped"))
        assert stage.far.written[: len(up)] == up
        assert len(stage.far.written) == len(up) + 8
        stage.tunnel.cut(0.0)
        await stage.error()

    async def test_a_side_in_the_middle_of_a_frame_does_not_keep_the_other_waiting(self) -> None:
        stage = Stage()
        stage.hears(masked(b"y" * 40)[:10])
        stage.tunnel.drain()
        assert stage.near.written == GOING_AWAY
        stage.hears(masked(b"y" * 40)[10:] + masked(b"\x03\xe9", CLOSE))
        assert stage.far.written[:46] == masked(b"y" * 40)
        assert stage.near.finished, "the caller has said Close too"
        stage.tunnel.inward.end()
        assert (await stage.error(), stage.tunnel.ending) == ("", "drained")

    @pytest.mark.parametrize("side", ["caller", "endpoint"])
    async def test_a_farewell_that_goes_on_is_left_alone(self, side: str) -> None:
        stage = Stage()
        if side == "caller":
            stage.hears(masked(b"\x03\xe8", CLOSE))
        else:
            stage.says(frame(b"\x03\xe8", CLOSE))
        stage.tunnel.drain()
        assert stage.tunnel.state is TunnelState.OPEN
        stage.hears(masked(b"more"))
        assert stage.far.written.endswith(masked(b"more"))
        stage.tunnel.cut(0.0)
        await stage.error()
        assert stage.tunnel.ending == "cut"

    async def test_a_close_that_comes_while_ours_is_due_goes_before_it(self) -> None:
        stage = Stage()
        stage.says(frame(b"x" * 40)[:10])
        stage.hears(masked(b"x" * 40)[:10])
        stage.tunnel.drain()
        stage.says(frame(b"x" * 40)[10:][:-1])
        stage.hears(masked(b"x" * 40)[10:] + masked(b"\x03\xe8", CLOSE)[:3])
        stage.hears(masked(b"\x03\xe8", CLOSE)[3:])
        assert stage.far.written[:46] == masked(b"x" * 40)
        stage.says(b"x")
        assert stage.near.written == frame(b"x" * 40) + GOING_AWAY
        stage.tunnel.cut(0.0)
        assert await stage.error() == ""

    async def test_what_is_no_websocket_gets_no_close(self) -> None:
        for framed in (False, True):
            stage = Stage(framed=framed)
            stage.says(b"garbage")
            stage.hears(b"garbage")
            stage.tunnel.drain()
            stage.says(b"more")
            stage.hears(b"more")
            assert (stage.near.written, stage.far.written) == (b"garbagemore", b"garbagemore")
            stage.tunnel.cut(0.0)
            await stage.error()
            assert stage.tunnel.ending == "cut"

    async def test_nothing_is_said_behind_an_end(self) -> None:
        stage = Stage()
        stage.near.full = True
        stage.tunnel.outward.end()
        stage.tunnel.drain()
        assert stage.near.written == b""
        assert stage.far.written[:2] == b"\x88\x82"
        stage.tunnel.cut(0.0)
        await stage.error()


async def test_who_waits_for_the_end_is_called_whenever_it_came() -> None:
    stage = Stage()
    await stage.begin()
    calls: list[str] = []
    stage.tunnel.when_over(lambda: calls.append("before"))
    assert calls == []
    stage.tunnel.cut(0.0)
    stage.tunnel.when_over(lambda: calls.append("behind"))
    await stage.task
    assert calls == ["before", "behind"]
