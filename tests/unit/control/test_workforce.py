"""What the control process asks of its supervisor, and when it does not."""

from __future__ import annotations

import asyncio
import os
import pathlib
import signal

import pytest

from gateway.admin.errors import AdminError
from gateway.control import trial
from gateway.control.workforce import Workforce
from gateway.workers.roster import Roster

HERE = pathlib.Path("gateway.yaml")


@pytest.fixture
def roster() -> Roster:
    made = Roster(2)
    made.take(0, 1)
    made.take(1, 2)
    made.offer(4)
    return made


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Trials last until it is set."""
    end = asyncio.Event()

    async def installed(config: pathlib.Path, offered: int) -> str:
        assert (config, offered) == (HERE, 4)
        await end.wait()
        return "2.0"

    monkeypatch.setattr(trial, "installed", installed)
    return end


def workforce(roster: Roster) -> Workforce:
    return Workforce(roster, os.getppid(), HERE)


async def code_of(made: Workforce) -> str:
    with pytest.raises(AdminError) as caught:
        await made.upgrade()
    return caught.value.code


async def test_an_upgrade_is_ordered_after_its_trial(roster: Roster, tried: asyncio.Event) -> None:
    made = workforce(roster)
    upgrading = asyncio.create_task(made.upgrade())
    await asyncio.sleep(0)
    assert await code_of(made) == "upgrade_under_way"
    assert not roster.take_order()
    tried.set()
    assert await upgrading == ("2.0", 2)
    assert roster.take_order()


async def test_none_begins_while_workers_are_replaced(roster: Roster, tried: asyncio.Event) -> None:
    tried.set()
    roster.take(2, 3)
    assert await code_of(workforce(roster)) == "restart_under_way"
    roster.leave(2)
    roster.leave(0)
    assert await code_of(workforce(roster)) == "restart_under_way"
    assert not roster.take_order()


async def test_a_trial_that_fails_orders_nothing(roster: Roster, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(config: pathlib.Path, offered: int) -> str:
        raise trial.TrialError("no such module")

    monkeypatch.setattr(trial, "installed", fails)
    made = workforce(roster)
    for _ in range(2):
        assert await code_of(made) == "upgrade_refused"
    assert not roster.take_order()


async def test_a_supervisor_that_cannot_be_replaced_says_so(roster: Roster) -> None:
    roster.offer(0)
    assert await code_of(workforce(roster)) == "no_upgrade"


async def test_without_a_supervisor_nothing_is_asked(roster: Roster, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = list[tuple[int, int]]()
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append((pid, number)))
    made = workforce(roster)
    assert made.restart() == 2
    assert killed == [(os.getppid(), signal.SIGUSR2)]
    gone = Workforce(roster, 1 << 30, HERE)
    assert await code_of(gone) == "unavailable"
    with pytest.raises(AdminError):
        gone.restart()
