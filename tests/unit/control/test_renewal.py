"""Each setting that no running process applies: the workers are replaced, or the log has the command."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping

import pytest

from gateway.config.schema.settings import Settings
from gateway.control.renewal import Renewal, start_again
from gateway.workers.roster import Roster

FILE = pathlib.Path("/etc/gateway/gateway.yaml")
BASE: Mapping[str, object] = {"database": "sqlite:///g.db", "admin": {"listen": "127.0.0.1:8081"}}


def settings(**changes: object) -> Settings:
    return Settings.model_validate({**BASE, **changes})


class Stage:
    def __init__(self, workers: int = 1) -> None:
        self.restarts = 0
        self.roster = Roster(workers)
        self.renewal = Renewal(self.roster, self._restart, FILE, 4711)

    def _restart(self) -> None:
        self.restarts += 1


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"worker_env": ["MINE"]}, "worker_env"),
        ({"via": "edge-1"}, "via"),
        ({"worker_env": ["MINE"], "via": "edge-1"}, "worker_env, via"),
    ],
)
def test_what_a_worker_reads_at_its_start_replaces_the_workers(
    changes: dict[str, object], names: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "gateway")
    stage = Stage()
    after = settings(**changes)
    stage.renewal.follow(settings(), after)
    assert (stage.restarts, stage.roster.variables()) == (1, after.worker_env)
    assert caplog.messages == [f"{names}: only new workers apply a change, so all workers are replaced now"]


@pytest.mark.parametrize(
    ("before", "after", "names"),
    [
        ({}, {"database": "sqlite:///other.db"}, "database"),
        ({}, {"admin": None}, "admin"),
        ({"admin": None}, {}, "admin"),
        ({}, {"admin": {"listen": "127.0.0.1:9"}}, "admin.listen"),
        ({}, {"admin": {"hosts": ["a.example.org"], "session_ttl": 60}}, "admin.hosts, admin.session_ttl"),
    ],
)
def test_what_the_control_process_reads_at_its_start_has_a_command(
    before: dict[str, object], after: dict[str, object], names: str, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage()
    stage.renewal.follow(settings(**before), settings(**after))
    assert stage.restarts == 0
    (line,) = caplog.messages
    assert line == (
        f"{names}: only a new control process applies a change; run: kill {os.getpid()} (traffic goes on, and the "
        "supervisor starts another)"
    )


def test_tls_of_the_admin_listener_needs_a_new_process_only_when_it_comes_or_goes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stage, plain = Stage(), settings()
    assert plain.admin is not None
    with_tls = plain.model_copy(update={"admin": plain.admin.model_copy(update={"tls": object()})})
    renewed = plain.model_copy(update={"admin": plain.admin.model_copy(update={"tls": object()})})
    stage.renewal.follow(with_tls, renewed)
    assert caplog.messages == []
    stage.renewal.follow(plain, with_tls)
    assert caplog.messages[0].startswith("admin.tls: only a new control process")


def test_another_number_of_workers_needs_another_supervisor(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(workers=2)
    stage.renewal.follow(settings(workers=3), settings(workers=2))
    assert caplog.messages == [], "so many serve"
    stage.renewal.follow(settings(workers=2), settings(workers=4))
    assert caplog.messages[0].startswith("workers: 2 serve until the gateway itself is started again; run: ")
    assert stage.restarts == 0


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"drain_timeout": 5},
        {"worker_max_memory": 1 << 29},
        {"admin": {"audit_retention": 60}},
        {"template_env": ["A"]},
    ],
)
def test_what_running_processes_apply_needs_nothing(
    changes: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "gateway")
    stage = Stage()
    stage.renewal.follow(settings(), settings(**changes))
    assert (stage.restarts, caplog.messages) == (0, [])


def test_a_control_process_finds_what_changed_while_there_was_none() -> None:
    stage = Stage()
    stage.roster.keep_variables(["MINE"])
    stage.renewal.begin(settings(worker_env=["MINE"]))
    assert stage.restarts == 0
    stage.renewal.begin(settings(worker_env=["OTHER"]))
    assert (stage.restarts, stage.roster.variables()) == (1, ("OTHER",))


def test_names_that_find_no_room_replace_nothing(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    stage.renewal.begin(settings().model_copy(update={"worker_env": ("A" * (1 << 20), "B")}))
    assert (stage.restarts, "write fewer" in caplog.text) == (0, True)


@pytest.mark.parametrize(
    ("pid", "groups", "command"),
    [
        (1, "0::/", "what starts this container again (the gateway is its process 1)"),
        (7, "0::/system.slice/gateway.service\n", "systemctl restart gateway.service"),
        (
            7,
            "0::/user.slice/user-5.slice/user@5.service/app.slice/gateway.service",
            "systemctl --user restart gateway.service",
        ),
        (
            7,
            "0::/user.slice/user-5.slice/user@5.service/app.slice/run-1.scope",
            f"kill 7, and when it has ended, with the options that it had: gateway run --config {FILE}",
        ),
        (7, "", f"kill 7, and when it has ended, with the options that it had: gateway run --config {FILE}"),
    ],
)
def test_the_command_is_that_of_the_place_where_it_runs(pid: int, groups: str, command: str) -> None:
    assert start_again(pid, FILE, groups) == command
