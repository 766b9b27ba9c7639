"""What each process of a gateway is started with."""

from __future__ import annotations

import json
import os
import sys

from gateway.workers.child import Child
from gateway.workers.crew import CONTROL, Crew, KeptChild, keep
from gateway.workers.inherited import Inherited


def close(*entries: Child) -> None:
    for entry in entries:
        assert entry.pulse is not None
        entry.pulse.close()


def test_a_worker_gets_neither_the_options_nor_the_master_key() -> None:
    with Inherited() as inherited:
        crew = Crew(inherited, "{}", 1, {"GATEWAY_MASTER_KEY": "k", "PATH": "/bin", "MINE": "x"}, ["MINE"])
        entries = serving, control = crew.children()
        assert (serving.serves, control.serves) == (True, False)
        assert serving.env == {"PATH": "/bin", "MINE": "x"}
        assert "{}" in control.command
        assert "{}" not in serving.command
        close(*entries)


def test_a_successor_keeps_the_variables_that_the_control_process_names() -> None:
    with Inherited() as inherited:
        crew = Crew(inherited, "{}", 1, {"PATH": "/bin", "MINE": "x", "OTHER": "y"}, ["MINE"])
        entries = crew.children()
        inherited.roster.keep_variables(["OTHER"])
        second = crew.successor(entries[0])
        assert second.env == {"PATH": "/bin", "OTHER": "y"}
        close(*entries, second)


def test_workers_are_numbered_and_share_no_channel_and_no_map() -> None:
    with Inherited(3) as inherited:
        *workers, control = crew = Crew(inherited, "{}", 3, {}).children()
        assert [worker.name for worker in workers] == ["worker 0", "worker 1", "worker 2"]
        assert [worker.place for worker in workers] == [0, 1, 2]
        own = [{worker.descriptors[0], worker.descriptors[2]} for worker in workers]
        assert len(set.union(*own)) == 6
        assert set(inherited.counters) <= set(control.descriptors)
        close(*crew)


def test_a_successor_takes_the_other_place_of_the_slot() -> None:
    with Inherited(2) as inherited:
        crew = Crew(inherited, "{}", 2, {})
        entries = crew.children()
        second = crew.successor(entries[1])
        third = crew.successor(second)
        assert (entries[1].place, second.place, third.place) == (1, 3, 1)
        assert second.name == "worker 1"
        assert second.descriptors[2] == inherited.counters[3]
        assert second.sockets is entries[1].sockets
        close(*entries, second, third)


def test_the_next_program_adopts_the_children_where_they_are() -> None:
    with Inherited(2) as inherited:
        crew = Crew(inherited, "{}", 2, {})
        first, second, control = children = crew.children()
        moved = crew.successor(second)
        sleeper = os.posix_spawn(sys.executable, [sys.executable, "-c", "import time; time.sleep(60)"], {})
        moved.adopt(sleeper)
        kept: list[KeptChild] = json.loads(json.dumps(keep([first, moved, control])))
        assert [each["pid"] for each in kept] == [0, sleeper, 0]
        adopted = crew.adopted(kept)
        assert [(each.name, each.place, each.serves) for each in adopted] == [
            ("worker 0", 0, True),
            ("worker 1", 3, True),
            ("control process", CONTROL, False),
        ]
        assert [each.pulse.ends for each in adopted if each.pulse] == [each["pulse"] for each in kept]
        assert adopted[0].process is None
        assert adopted[1].process is not None
        adopted[1].kill()
        assert adopted[1].process.wait(10) == -9
        close(*children, moved)
