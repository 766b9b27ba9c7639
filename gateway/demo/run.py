"""The demo: a sidecar in this process, a whole gateway in front of it, and the printed tour."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import TextIO

from gateway.config.overrides import Overrides
from gateway.demo.script import Scene, text
from gateway.demo.sidecar import Sidecar
from gateway.workers.control import Options
from gateway.workers.supervisor import Supervisor

CONFIGURATION = Path(__file__).with_name("demo.yaml")


def run(listen: str, admin: str, folder: Path, out: TextIO) -> int:
    """Serve on ``listen`` and ``admin`` (``host:port``), with a database in ``folder``, until SIGINT or SIGTERM.

    Raises OSError when an address can not be listened on.
    """
    return asyncio.run(serve(_taken(listen), _taken(admin), folder, out))


async def serve(listen: str, admin: str, folder: Path, out: TextIO) -> int:
    async with AsyncExitStack() as house:
        sidecar = Sidecar()
        house.push_async_callback(sidecar.aclose)
        port = await sidecar.start()
        database = f"sqlite:///{folder}/gateway.db"
        env = {
            **os.environ,
            "DEMO_LISTEN": listen,
            "DEMO_ADMIN": admin,
            "DEMO_DATABASE": database,
            "SIDECAR_PORT": str(port),
        }
        scene = Scene(f"http://{listen}", f"http://{admin}", database, f"http://127.0.0.1:{port}")

        def tell() -> None:
            out.write(text(scene, CONFIGURATION.read_text()))
            out.flush()

        return await Supervisor([Options(CONFIGURATION, Overrides()).encode()], env, tell).run()


def _taken(address: str) -> str:
    """The address, with a port that is free when any would do. Raises OSError when it is in use."""
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.socket(family)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host.strip("[]"), int(port)))
        return f"{host}:{probe.getsockname()[1]}"
