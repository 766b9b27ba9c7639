"""The demo as one process: the sidecar, the gateway in front of it, and the printed tour."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import TextIO

import uvloop

from gateway.app import Gateway
from gateway.config.parse import load
from gateway.demo.script import text
from gateway.demo.sidecar import Sidecar

CONFIGURATION = Path(__file__).with_name("demo.yaml")


def run(listen: str, out: TextIO) -> None:
    """Serve on ``listen`` (``host:port``) until SIGINT or SIGTERM.

    Raises what `load` raises for a bad address, and OSError when it can not be listened on.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(listen, out))


async def serve(listen: str, out: TextIO) -> None:
    async with AsyncExitStack() as house:
        sidecar = Sidecar()
        house.push_async_callback(sidecar.aclose)
        port = await sidecar.start()
        document = load(CONFIGURATION, {"DEMO_LISTEN": listen, "SIDECAR_PORT": str(port)})
        with signals() as told_to_end:
            gateway = await house.enter_async_context(Gateway(document))
            host, bound = gateway.addresses[0]
            out.write(text(f"http://{host}:{bound}", f"http://127.0.0.1:{port}", CONFIGURATION.read_text()))
            out.flush()
            await told_to_end.wait()


@contextmanager
def signals() -> Iterator[asyncio.Event]:
    """An event that SIGINT or SIGTERM sets: the demo ends at once, for its streams are nobody's work."""
    loop, event = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, event.set)
    try:
        yield event
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
