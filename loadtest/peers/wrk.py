"""wrk: the load generator for requests, as many as a fixed number of connections gets answered."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass

from loadtest.peers.server import OTHER_CORE, Server
from loadtest.peers.target import NotInstalledError
from loadtest.stage import HOST
from loadtest.wrk_output import Result, parsed

POST = 'wrk.method = "POST"\nwrk.body = string.rep("x", 1024)\nwrk.headers["Content-Type"] = "application/json"\n'


@dataclass(frozen=True)
class Load:
    """What to ask for, on how many connections."""

    path: str
    connections: int
    script: str = ""


def run(load: Load, server: Server, seconds: int) -> Result:
    """Whole seconds: wrk knows no others. `NotInstalledError`; CalledProcessError when it fails."""
    program = shutil.which("wrk")
    if program is None:
        raise NotInstalledError("the load generator is wrk: apt-get install wrk")
    command = ["taskset", "--cpu-list", str(OTHER_CORE), program, "-t1", f"-c{load.connections}", f"-d{seconds}s"]
    if load.script:
        script = server.folder / "load.lua"
        script.write_text(load.script)
        command += ["-s", str(script)]
    url = f"http://{HOST}:{server.port}{server.prefix}{load.path}"
    done = subprocess.run([*command, url], capture_output=True, text=True, timeout=seconds + 30, check=True)  # noqa: S603
    return parsed(done.stdout)
