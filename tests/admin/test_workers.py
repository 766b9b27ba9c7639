"""The worker processes over the API, and on a database without a gateway."""

from __future__ import annotations

from typing import Any

from admin.conftest import Api

PROCESS: dict[str, Any] = {
    "worker": 0,
    "pid": 17,
    "state": "serving",
    "since": 1.0,
    "starts": 1,
    "crash_loop": False,
    "recycled": 0,
    "memory_bound_too_small": False,
    "version": "1",
    "generation": 3,
    "requests": 5,
    "connections": 2,
    "in_flight": 1,
    "memory_bytes": 1 << 20,
    "resident_bytes": 2 << 20,
    "fresh_bytes": 1 << 20,
    "loop_lag": 0.001,
    "shedding": 0.0,
}


async def test_processes_are_shown_and_replaced_by_superusers(api: Api) -> None:
    api.plane.processes = [PROCESS]
    assert (await api.call("GET", "/workers")).body == {"items": [PROCESS], "max_memory_bytes": 1 << 30}
    done = await api.call("POST", "/workers/restart")
    assert (done.status, done.body) == (202, {"workers": 1})
    assert api.plane.restarts == 1
    newest = (await api.call("GET", "/audit")).body["items"][0]
    assert (newest["action"], newest["subject"]) == ("workers.restart", "workers")


async def test_superusers_upgrade(api: Api) -> None:
    api.plane.processes = [PROCESS]
    done = await api.call("POST", "/workers/upgrade")
    assert (done.status, done.body) == (202, {"version": "9.9.9", "workers": 1})
    newest = (await api.call("GET", "/audit")).body["items"][0]
    assert (newest["action"], newest["subject"]) == ("workers.upgrade", "9.9.9")
