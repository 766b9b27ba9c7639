"""What one program hands to the next; the whole way is in the tests of upgrades."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys

import pytest

from gateway.workers.crew import CONTROL, Crew
from gateway.workers.estate import Estate
from gateway.workers.inherited import Inherited
from gateway.workers.roster import FORMAT
from gateway.workers.takeover import Takeover, descriptors, receive

FAILS = """
import asyncio, logging, os, signal
from gateway import launch
from gateway.observe.process_log import begin_process_log
from gateway.workers.crew import Crew
from gateway.workers.estate import Estate
from gateway.workers.inherited import Inherited
from gateway.workers.takeover import Takeover, descriptors

async def main():
    launch.PYTHON = ("/no/python", "-m")
    begin_process_log()
    with Inherited(2) as inherited, Estate(4) as estate:
        crew = Crew(inherited, "{}", 2, {}, shared=estate.descriptors)
        children = crew.children()
        takeover = Takeover(inherited, estate, crew, "{}", ["NAME"])
        takeover.begin(children)
        assert not any(map(os.get_inheritable, descriptors(takeover.kept(children))))
        assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()), "signals are delivered again"
        logging.getLogger("gateway").info("it serves on")

asyncio.run(main())
"""


def test_where_the_system_refuses_everything_is_as_before() -> None:
    # As a process: the log of the caller ends with the attempt.
    ended = subprocess.run([sys.executable, "-c", FAILS], capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 0, ended.stderr
    failed, after = ended.stderr.splitlines()
    assert "ERROR gateway: the upgrade has failed, version" in failed
    assert "No such file or directory" in failed
    assert after.endswith("INFO gateway: it serves on")


async def test_all_descriptors_are_handed_over() -> None:
    with Inherited(2) as inherited, Estate(4) as estate:
        crew = Crew(inherited, "{}", 2, {}, shared=estate.descriptors)
        children = crew.children()
        takeover = Takeover(inherited, estate, crew, "{}", ["NAME"])
        assert (inherited.roster.offered, takeover.ordered()) == (FORMAT, False)
        inherited.roster.order_upgrade()
        assert takeover.ordered()
        kept = takeover.kept(children)
        assert kept["children"][-1]["place"] == CONTROL
        passed = [*descriptors(json.loads(json.dumps(kept)))]
        named = {*estate.descriptors, *inherited.counters, inherited.table, inherited.alive, inherited.ready}
        for child in children:
            assert child.pulse is not None
            named |= {*child.descriptors, child.pulse.writer}
            child.pulse.close()
        assert named <= set(passed), "all that a child is started with"
        assert len(passed) == len(set(passed))


def test_another_format_is_not_understood() -> None:
    kept = {"format": FORMAT + 1}
    state = os.memfd_create("state", 0)
    os.write(state, json.dumps(kept).encode())
    with pytest.raises(ValueError, match="has handed over format"):
        receive(state)
    with pytest.raises(OSError, match="Bad file descriptor"):
        fcntl.fcntl(state, fcntl.F_GETFD)
