"""Changes of the file that no running process can apply: which processes have to be new, and who sees to it.

workers            new worker processes are enough: they are replaced at once, and no request fails for it
control process    its own: it would lose the admin API when the new value is wrong, so an operator ends it; the
                   supervisor starts another, and no traffic waits for that
supervisor         it knows no configuration, and has what it was started with
"""

from __future__ import annotations

import logging
import os
import pathlib
from collections.abc import Callable, Iterator

from gateway.config.schema.settings import Settings
from gateway.workers.roster import Roster, count_of

_log = logging.getLogger("gateway")


class Renewal:
    """``restart`` begins to replace all workers. ``config``: the file. ``supervisor``: the id of its process."""

    def __init__(self, roster: Roster, restart: Callable[[], object], config: pathlib.Path, supervisor: int) -> None:
        self._roster = roster
        self._restart = restart
        self._config = config
        self._supervisor = supervisor

    def begin(self, settings: Settings) -> None:
        """The control process has started: ``settings`` may have changed while there was none."""
        if settings.worker_env != self._roster.variables():
            self._renew_workers(["worker_env"], settings)

    def follow(self, before: Settings, after: Settings) -> None:
        """The file was applied; do what is left of the change, and log what an operator has to do."""
        if names := list(_of_workers(before, after)):
            self._renew_workers(names, after)
        if names := list(_of_control(before, after)):
            _log.warning(
                "%s: only a new control process applies a change; run: kill %d (traffic goes on, and the supervisor "
                "starts another)",
                ", ".join(names),
                os.getpid(),
            )
        if before.workers != after.workers and count_of(after.workers) != self._roster.workers:
            _log.warning(
                "workers: %d serve until the gateway itself is started again; run: %s",
                self._roster.workers,
                start_again(self._supervisor, self._config, _control_groups(self._supervisor)),
            )

    def _renew_workers(self, names: list[str], settings: Settings) -> None:
        try:
            self._roster.keep_variables(settings.worker_env)
        except OSError as error:
            _log.error("%s", error)
            return
        _log.info("%s: only new workers apply a change, so all workers are replaced now", ", ".join(names))
        self._restart()


def _of_workers(before: Settings, after: Settings) -> Iterator[str]:
    """The changed settings that a worker process reads when it starts."""
    if before.worker_env != after.worker_env:
        yield "worker_env"
    if before.via != after.via:
        yield "via"


def _of_control(before: Settings, after: Settings) -> Iterator[str]:
    """The changed settings that the control process reads when it starts."""
    if before.database != after.database:
        yield "database"
    if before.admin is None or after.admin is None:
        if before.admin is not after.admin:
            yield "admin"
        return
    for name in ("listen", "hosts", "session_ttl"):
        if getattr(before.admin, name) != getattr(after.admin, name):
            yield f"admin.{name}"
    if (before.admin.tls is None) != (after.admin.tls is None):
        yield "admin.tls"


def _control_groups(pid: int) -> str:
    try:
        return pathlib.Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return ""


def start_again(supervisor: int, config: pathlib.Path, control_groups: str) -> str:
    """The command that starts a gateway again. ``control_groups``: of the supervisor, as in ``/proc/PID/cgroup``."""
    if supervisor == 1:
        return "what starts this container again (the gateway is its process 1)"
    for row in control_groups.splitlines():
        group = row.rpartition(":")[2]
        unit = group.rpartition("/")[2]
        if unit.endswith(".service"):
            return f"systemctl {'--user ' if group.startswith('/user.slice/') else ''}restart {unit}"
    return f"kill {supervisor}, and when it has ended, with the options that it had: gateway run --config {config}"
