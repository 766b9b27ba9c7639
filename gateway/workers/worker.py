"""The worker process: the data plane alone, on uvloop, told what to do over the channel.

It never asks the control process for anything. When that dies, the last snapshot and the last credentials stay in
force; when the supervisor dies, the worker drains and ends.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any, Final

import uvloop

from gateway import launch
from gateway.app import Gateway, calm_collector
from gateway.config import codec
from gateway.observe.process_log import begin_process_log
from gateway.observe.slabs import Slabs
from gateway.workers import confinement
from gateway.workers.channel import ChannelServer
from gateway.workers.orphan import orphaned
from gateway.workers.pulse import beating
from gateway.workers.signals import signals

_log = logging.getLogger("gateway")

END_SECONDS: Final = 10.0
"""What the end may take after the drain."""


class Worker:
    """A gateway behind a channel; the operations of the channel are its public methods with a ``body``."""

    def __init__(self, slabs: Slabs | None = None) -> None:
        self._slabs = slabs
        self.gateway: Gateway | None = None
        self._credentials = codec.credentials({"tokens": {}, "issuers": []})
        self._stopping = asyncio.Event()
        self._cutting = asyncio.Event()
        self.channel = ChannelServer(
            {
                "ping": self.ping,
                "apply": self.apply,
                "identify": self.identify,
                "state": self.state,
                "used": self.used,
                "reset_breaker": self.reset_breaker,
                "sample": self.sample,
                "usage": self.usage,
                "breakers": self.breakers,
                "explain": self.explain,
                "request": self.request,
                "refusals": self.refusals,
            }
        )

    async def ping(self, _: Any) -> object:
        """``{"draining", "wanted"}``: whether it takes no new connections any more; key sets to be fetched again."""
        wanted = [] if self.gateway is None else self.gateway.authenticator.take_wanted()
        return {"draining": self._stopping.is_set(), "wanted": wanted}

    async def apply(self, body: Any) -> object:
        """Put a document in force: ``{"generation", "addresses"}``. Raises OSError, changing nothing."""
        document = codec.document(body)
        if self.gateway is None:
            gateway = Gateway(document, self._slabs)
            gateway.authenticator.credentials = self._credentials
            calm_collector()
            try:
                await gateway.start()
            except BaseException:
                await gateway.aclose()
                raise
            self.gateway = gateway
        elif document != self.gateway.document:
            await self.gateway.reload(document)
        return {"generation": self.gateway.generation, "addresses": self.gateway.addresses}

    async def identify(self, body: Any) -> object:
        """Take over who may prove to be whom."""
        self._credentials = codec.credentials(body)
        if self.gateway is not None:
            self.gateway.authenticator.credentials = self._credentials
        return None

    async def state(self, _: Any) -> object:
        """What runs now, by proxy (`ProxyState`)."""
        return {} if self.gateway is None else self.gateway.state()

    async def used(self, _: Any) -> object:
        """The tokens used since the last time: digest and seconds of the epoch."""
        return {} if self.gateway is None else self.gateway.authenticator.take_used()

    async def reset_breaker(self, body: Any) -> object:
        """True when the proxy has a breaker; it is closed then."""
        return self.gateway is not None and self.gateway.reset_breaker(str(body["name"]), str(body["by"]))

    async def sample(self, _: Any) -> object:
        """Bring the map up to date; ``{"pid"}``."""
        if self.gateway is not None:
            self.gateway.sample()
        return {"pid": os.getpid()}

    async def usage(self, _: Any) -> object:
        """What the process uses, as `confinement.usage`: in a thread, because the kernel walks all of its memory."""
        return await asyncio.to_thread(confinement.usage)

    async def breakers(self, _: Any) -> object:
        """``{name: {"breaker", "since", "history"}}``."""
        return {} if self.gateway is None else self.gateway.breakers()

    async def explain(self, body: Any) -> object:
        """The `Explanation` of a proxy's upstream; None when no such proxy is active."""
        return None if self.gateway is None else self.gateway.explain(str(body["name"]))

    async def request(self, body: Any) -> object:
        """What is known of the exchange with this id."""
        return None if self.gateway is None else self.gateway.find(str(body["id"]))

    async def refusals(self, body: Any) -> object:
        """``{"next", "items"}``: the log lines of refusals and failures after the first ``since``."""
        if self.gateway is None:
            return {"next": 0, "items": []}
        self.gateway.journal.flush()
        count, items = self.gateway.recent.refusals(int(body["since"]), int(body["most"]))
        return {"next": count, "items": items}

    async def run(self, listener: socket.socket, alive: int, pulse: int) -> int:
        """Serve until a signal or the supervisor's end; the exit code.

        ``alive``: a pipe that ends with the supervisor; ``pulse``: one to beat on.
        """
        try:
            with signals(self._handlers()), orphaned(alive, self._stop), beating(pulse):
                await self.channel.start(listener)
                await self._stopping.wait()
                if self.gateway is not None:
                    await self.gateway.drain_or_cut(self._cutting)
        finally:
            await self.channel.aclose()
            if self.gateway is not None:
                await self.gateway.aclose()
        return 0

    def _stop(self) -> None:
        if self._stopping.is_set():
            self._cutting.set()
            return
        if self.gateway is not None:
            _log.info("draining: %d connections", self.gateway.connections)
        patience = 0.0 if self.gateway is None else self.gateway.document.drain_timeout
        launch.end_within(patience + END_SECONDS, 1, logging.shutdown)
        self._stopping.set()

    def _reopen(self) -> None:
        if self.gateway is not None:
            self.gateway.reopen_log()

    def _handlers(self) -> dict[int, Callable[[], object]]:
        return {
            signal.SIGTERM: self._stop,
            signal.SIGUSR1: self._reopen,
            # A terminal sends these to the whole group: the supervisor decides what they mean.
            signal.SIGINT: lambda: None,
            signal.SIGHUP: lambda: None,
        }


def main(arguments: list[str]) -> int:
    """``arguments``: the descriptors of the channel's listening socket, the supervisor's pipe, its map, and the
    pipe to beat on.
    """
    channel, alive, slabs, pulse = map(int, arguments)
    begin_process_log()
    confinement.seal()

    async def serve() -> int:
        return await Worker(Slabs(slabs)).run(socket.socket(fileno=channel), alive, pulse)

    return uvloop.run(serve())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
