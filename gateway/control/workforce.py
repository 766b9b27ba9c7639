"""What the control process asks of the supervisor, which starts and ends the processes."""

from __future__ import annotations

import os
import pathlib
import signal

from gateway.admin.errors import conflict, unavailable
from gateway.control import trial
from gateway.workers.roster import Roster


class Workforce:
    """``supervisor``: its process id; ``config``: the configuration file that an upgrade is tried with.

    Every method raises `AdminError`, also when the supervisor is gone.
    """

    def __init__(self, roster: Roster, supervisor: int, config: pathlib.Path) -> None:
        self._roster = roster
        self._supervisor = supervisor
        self._config = config
        self._trying = False

    def restart(self) -> int:
        """Begin to replace the workers; how many."""
        self._check_supervisor()
        os.kill(self._supervisor, signal.SIGUSR2)
        return self._roster.workers

    async def upgrade(self) -> tuple[str, int]:
        """Begin to replace all programs by the installed ones, after a trial: their version, and how many workers.

        Nothing has changed when it raises.
        """
        self._check_supervisor()
        offered = self._roster.offered
        if not offered:
            raise conflict(
                "no_upgrade",
                "This gateway cannot be upgraded while it runs (gateway demo); stop it and start it",
            )
        if self._trying:
            raise conflict("upgrade_under_way", "An upgrade is being tried already; wait for its end")
        self._trying = True
        try:
            version = await trial.installed(self._config, offered)
        except trial.TrialError as error:
            raise conflict(
                "upgrade_refused", f"The installed program cannot take over, and nothing has changed: {error}"
            ) from None
        finally:
            self._trying = False
        self._check_supervisor()
        if len(self._roster.seated()) != self._roster.workers:
            raise conflict(
                "restart_under_way", "A worker starts or is being replaced; see gateway status, and try it again later"
            )
        self._roster.order_upgrade()
        return version, self._roster.workers

    def _check_supervisor(self) -> None:
        if os.getppid() != self._supervisor:
            raise unavailable("the supervisor has ended, and this process ends too")
