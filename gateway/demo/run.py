"""The demo: a sidecar in this process, a whole gateway in front of it, and the printed tour."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TextIO

from gateway.config.overrides import Overrides
from gateway.control.options import Options
from gateway.demo.ports import address_of, reserved
from gateway.demo.script import Scene, text
from gateway.demo.sidecar import Sidecar
from gateway.workers.supervisor import supervise

CONFIGURATION = Path(__file__).with_name("demo.yaml")


def run(listen: str, admin: str, folder: Path, out: TextIO) -> int:
    """Serve on ``listen`` and ``admin`` (``host:port``), with a database in ``folder``, until SIGINT or SIGTERM.

    Raises OSError when an address cannot be listened on.
    """
    with reserved(listen) as public, reserved(admin) as private:
        return asyncio.run(serve(address_of(public), address_of(private), folder, out))


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

        return await supervise(Options(CONFIGURATION, Overrides()).encode(), env, tell)
