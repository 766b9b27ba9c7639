"""The worker process: a data plane alone, on uvloop, used by the control process over the channel.

It never asks the control process for anything. When that dies, the last snapshot and the last credentials stay
active; when the supervisor dies, the worker drains and ends.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial

import uvloop

from gateway.ipc.channel import operations
from gateway.ipc.messages import DataPlane
from gateway.ipc.server import ChannelServer
from gateway.observe.counters import CounterMap
from gateway.observe.process_log import begin_process_log
from gateway.page.layout import ORDER
from gateway.page.lone import LoneStores
from gateway.page.page import Page
from gateway.workers import confinement
from gateway.workers.handover import Handover
from gateway.workers.local_plane import LocalPlane
from gateway.workers.parent_watch import parent_watch
from gateway.workers.pulse import beating
from gateway.workers.signals import signals
from gateway.workers.sockets import LentSockets


async def serve(plane: LocalPlane, listener: socket.socket, alive: int, pulse: int) -> None:
    """Serve ``plane`` on the channel's ``listener`` until a signal or the supervisor's end.

    ``alive``: a pipe that ends with the supervisor; ``pulse``: one to beat on.
    """
    channel = ChannelServer(operations(DataPlane), plane, {"call", "piece"}, plane.begun)
    handlers: dict[int, Callable[[], object]] = {
        signal.SIGTERM: plane.stop,
        signal.SIGUSR2: plane.retire,
        signal.SIGUSR1: plane.reopen_log,
        # A terminal sends these to the whole group: only the supervisor handles them.
        signal.SIGINT: lambda: None,
        signal.SIGHUP: lambda: None,
    }
    try:
        with signals(handlers), parent_watch(alive, plane.stop), beating(pulse):
            await channel.start(listener)
            await plane.until_drained()
    finally:
        await channel.aclose()
        await plane.aclose()


def main(arguments: list[str]) -> int:
    """``arguments``: the slot and the place, and the descriptors of the channel's listening socket, the supervisor's
    pipe, its map, the pipe to beat on, the slot's pair of `Handover`, those of `Estate.descriptors`, and the line to
    the listening sockets of callers.
    """
    slot, place, channel, alive, counters, pulse, giving, taking, memory, *bells, line = map(int, arguments)
    begin_process_log()
    confinement.rename(f"gateway-work{slot}")
    confinement.seal()

    async def work() -> None:
        sockets = LentSockets(socket.socket(fileno=line))
        handover = Handover(socket.socket(fileno=giving), socket.socket(fileno=taking))
        page = Page(memory, place, bells, slot)
        page.check()
        lone = LoneStores(page) if page.cells[ORDER] else None
        plane = LocalPlane(CounterMap(counters), sockets, lone or page, handover)
        page.listen(asyncio.get_running_loop(), (lambda: None) if lone is None else partial(lone.obey, plane.move))
        try:
            await serve(plane, socket.socket(fileno=channel), alive, pulse)
        finally:
            sockets.close()
            handover.close()
            page.close()

    uvloop.run(work())
    return 0


if __name__ == "__main__":  # a supervisor that began with an earlier version starts it like that
    sys.exit(main(sys.argv[1:]))
