"""What one program hands to the next; the whole way is in the tests of upgrades."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
from collections.abc import Iterator
from typing import cast

import pytest

from gateway import launch
from gateway.workers import takeover as module
from gateway.workers.crew import Crew
from gateway.workers.inherited import Inherited
from gateway.workers.roster import FORMAT
from gateway.workers.takeover import Kept, Takeover, descriptors, receive


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[str]]]:
    """The commands that would replace this process; the process log ends, and this one has none."""
    commands = list[list[str]]()

    def execv(path: str, command: list[str]) -> None:
        assert path == command[0]
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) >= launch.SIGNALS, "a signal waits for the new program"
        commands.append(command)
        raise OSError("no such interpreter")

    monkeypatch.setattr(os, "execv", execv)
    monkeypatch.setattr(logging, "shutdown", lambda: None)
    monkeypatch.setattr(module, "begin_process_log", lambda: None)
    yield commands
    launch.release_signals()


async def test_all_descriptors_are_handed_over_and_taken_back_when_it_fails(
    executed: list[list[str]], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = list[Kept]()
    write = os.write

    def spy(descriptor: int, text: bytes) -> int:
        seen.append(cast(Kept, json.loads(text)))
        return write(descriptor, text)

    with Inherited(2) as inherited:
        crew = Crew(inherited, "{}", 2, {}, shared=())
        children = crew.children()
        takeover = Takeover(inherited, None, crew, "OPTIONS", ["NAME"])
        assert (inherited.roster.offered, takeover.ordered()) == (FORMAT, False)
        inherited.roster.order_upgrade()
        assert takeover.ordered()
        monkeypatch.setattr(os, "write", spy)
        takeover.begin(children)
        monkeypatch.undo()
        (command,) = executed
        assert command[3:6] == ["gateway.workers.supervisor", "OPTIONS", "2"]
        assert command[7:] == ["NAME"]
        (kept,) = seen
        assert kept["children"][-1]["place"] == -1
        passed = [*descriptors(kept)]
        assert len(passed) == len(set(passed)) == 4 + 2 * 2 + 4 + 4 + 1 + 3 * 2
        assert not any(os.get_inheritable(each) for each in passed)
        for child in children:
            assert child.pulse is not None
            child.pulse.close()
    assert "the upgrade has failed, version" in caplog.text
    assert "no such interpreter" in caplog.text


def test_another_format_is_not_understood() -> None:
    kept = {"format": FORMAT + 1}
    state = os.memfd_create("state", 0)
    os.write(state, json.dumps(kept).encode())
    with pytest.raises(ValueError, match="has handed over format"):
        receive(state)
    with pytest.raises(OSError, match="Bad file descriptor"):
        fcntl.fcntl(state, fcntl.F_GETFD)
