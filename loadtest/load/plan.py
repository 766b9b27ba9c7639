"""What the runner tells the locust process: by a file that `VARIABLE` names."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

VARIABLE = "LOADTEST_PLAN"


@dataclass(frozen=True, slots=True)
class Plan:
    """``port`` is the gateway's, ``direct`` the sidecar's, both on loopback. Times in seconds."""

    port: int
    direct: int
    users: int
    rate: float
    """Requests a second of all users together, for those who keep a schedule."""
    seconds: float
    patience: float
    """A client gives up so long after the moment when it meant to ask."""
    seed: int
    record: str
    """The file for what `record.py` counts."""

    @property
    def period(self) -> float:
        """Between two requests of one user."""
        return self.users / self.rate

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))


@cache
def given() -> Plan:
    """The plan of this locust process. SystemExit when it was started by hand, without one."""
    if VARIABLE not in os.environ:
        raise SystemExit("this is a scenario of the load tests: make load SCENARIO=... starts it")
    return Plan(**json.loads(Path(os.environ[VARIABLE]).read_text()))
