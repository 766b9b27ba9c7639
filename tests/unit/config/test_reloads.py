"""Many wishes become few reloads, and the last wish is never lost."""

from __future__ import annotations

import asyncio

import pytest

from gateway.config.reloads import Reloads


async def test_a_hundred_wishes_are_two_reloads() -> None:
    value, seen, running = 0, [], 0
    all_came = asyncio.Event()

    async def reload(_: str) -> None:
        nonlocal running
        running += 1
        assert running == 1
        seen.append(value)
        await all_came.wait()
        running -= 1

    reloads = Reloads(reload)
    wishes = []
    for _ in range(100):
        value += 1
        wishes.append(asyncio.create_task(reloads.ask("HUP")))
        await asyncio.sleep(0)
    all_came.set()
    await asyncio.gather(*wishes)
    assert seen == [1, 100], "the first one, and one that saw the last change"


async def test_one_that_fails_does_not_spoil_the_next() -> None:
    async def reload(source: str) -> None:
        if source == "bad":
            raise OSError(source)
        seen.append(source)

    seen: list[str] = []
    reloads = Reloads(reload)
    with pytest.raises(OSError, match="bad"):
        await reloads.ask("bad")
    await reloads.ask("good")
    assert seen == ["good"]


async def test_one_that_is_cancelled_while_it_waits_makes_room() -> None:
    go = asyncio.Event()
    seen: list[str] = []

    async def reload(source: str) -> None:
        await go.wait()
        seen.append(source)

    reloads = Reloads(reload)
    first, second = (asyncio.create_task(reloads.ask(name)) for name in ("first", "second"))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.sleep(0)
    third = asyncio.create_task(reloads.ask("third"))
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(first, third)
    assert seen == ["first", "third"]
