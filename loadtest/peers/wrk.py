"""wrk: the load generator for requests, as many as a fixed number of connections gets answered, and what it prints."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass

from loadtest.peers.server import OTHER_CORE, Server
from loadtest.peers.target import NotInstalledError
from loadtest.stage import HOST

POST = 'wrk.method = "POST"\nwrk.body = string.rep("x", 1024)\nwrk.headers["Content-Type"] = "application/json"\n'


@dataclass(frozen=True)
class Load:
    """What to ask for, on how many connections."""

    path: str
    connections: int
    script: str = ""


@dataclass(frozen=True)
class Result:
    requests: int
    seconds: float
    errors: int
    """Answers other than 2xx and 3xx, and sockets that failed or timed out."""


def parsed(text: str) -> Result:
    """What wrk prints at its end. ValueError when that is not it."""
    done = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m)\b", text)
    if done is None:
        raise ValueError(f"this is not what wrk prints: {text[:200]!r}")
    seconds = float(done[2]) * {"ms": 1e-3, "s": 1.0, "m": 60.0}[done[3]]
    sockets = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    status = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    errors = sum(map(int, sockets.groups())) if sockets else 0
    return Result(int(done[1]), seconds, errors + (int(status[1]) if status else 0))


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
