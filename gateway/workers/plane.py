"""What the control process knows of the data plane: one worker behind a channel, and what it is to know."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, cast

import orjson

from gateway.config import codec
from gateway.config.document import Credentials, Document
from gateway.proxy.standing import BreakerPulse, ProxyState
from gateway.workers.channel import ChannelClient, ChannelError, RefusedError

_log = logging.getLogger("gateway")

_PING_SECONDS = 0.1
_RETRY_SECONDS = 0.05


class Plane:
    """Tells the worker what is to be in force, and tells a new worker everything again."""

    def __init__(self, channel: ChannelClient) -> None:
        self._channel = channel
        self._lock = asyncio.Lock()
        self._document: Document | None = None
        self._credentials = Credentials()
        self._told = 0
        """Number of the connection whose worker knows everything."""
        self.generation = 0
        """The worker's count of the configurations that it took in force."""
        self.addresses: list[tuple[str, int]] = []
        self.reachable = False
        self._wanted: set[str] = set()
        self.draining = False
        """The worker takes no new connections any more."""

    async def apply(self, document: Document) -> None:
        """Put ``document`` in force. Raises `RefusedError`, changing nothing, when the worker can not serve it.

        Raises `ChannelError` when the worker is away: it is told as soon as it is back.
        """
        async with self._lock:
            before, self._document = self._document, document
            if document == before:
                await self._channel.call("ping")
                if self._told == self._channel.dials:
                    return  # it is in force: to apply it again would cost the worker time that traffic needs
            try:
                await self._tell(identify=False)
            except RefusedError:
                self._document = before
                raise

    async def identify(self, credentials: Credentials) -> None:
        """Say who may prove to be whom. Raises `ChannelError`: it is told as soon as the worker is back."""
        async with self._lock:
            self._credentials = credentials
            await self._channel.call("identify", codec.encode(credentials))

    async def state(self) -> Mapping[str, ProxyState]:
        """What runs now, by proxy. Raises `ChannelError`."""
        return cast(Mapping[str, ProxyState], await self._channel.call("state"))

    async def used(self) -> Mapping[str, float]:
        """The digests of tokens used since the last call, and when (seconds of the epoch). Raises `ChannelError`."""
        return cast(Mapping[str, float], await self._channel.call("used"))

    async def reset_breaker(self, name: str, by: str) -> bool:
        """Raises `ChannelError`."""
        return bool(await self._channel.call("reset_breaker", orjson.dumps({"name": name, "by": by})))

    async def sample(self) -> Mapping[str, Any]:
        """The worker's map is up to date: ``{"pid"}`` of the worker. Raises `ChannelError`."""
        return cast(Mapping[str, Any], await self._channel.call("sample"))

    async def usage(self) -> Mapping[str, int]:
        """What the worker's process uses (`confinement.usage`). Raises `ChannelError`."""
        return cast(Mapping[str, int], await self._channel.call("usage"))

    async def breakers(self) -> Mapping[str, BreakerPulse]:
        """How the breakers stand, by proxy. Raises `ChannelError`."""
        return cast(Mapping[str, BreakerPulse], await self._channel.call("breakers"))

    async def explain(self, name: str) -> Mapping[str, object] | None:
        """The `Explanation` of a proxy's upstream; None when there is none. Raises `ChannelError`."""
        return cast(Mapping[str, object] | None, await self._channel.call("explain", orjson.dumps({"name": name})))

    async def request(self, request_id: str) -> Mapping[str, object] | None:
        """The log line of a recent exchange, or what is known of one that runs. Raises `ChannelError`."""
        body = orjson.dumps({"id": request_id})
        return cast(Mapping[str, object] | None, await self._channel.call("request", body))

    async def refusals(self, since: int, most: int) -> Mapping[str, object]:
        """``{"next", "items"}``: the log lines of refusals and failures after ``since``. Raises `ChannelError`."""
        body = orjson.dumps({"since": since, "most": most})
        return cast(Mapping[str, object], await self._channel.call("refusals", body))

    def take_wanted(self) -> list[str]:
        """Addresses of key sets in which tokens named keys that are missing, since the last call."""
        wanted, self._wanted = self._wanted, set()
        return sorted(wanted)

    async def keep_told(self) -> None:
        """Watch the worker until cancelled: one that is new hears everything at once."""
        while True:
            try:
                answer: Any = await self._channel.call("ping")
                self.draining = bool(answer["draining"])
                self._wanted.update(answer["wanted"])
                if self._told != self._channel.dials:
                    async with self._lock:
                        await self._tell(identify=True)
                pause = _PING_SECONDS
                self.reachable = True
            except ChannelError as error:
                if self.reachable or isinstance(error, RefusedError):
                    _log.error("%s", error)
                self.reachable = False
                pause = _RETRY_SECONDS
            await asyncio.sleep(pause)

    async def _tell(self, *, identify: bool) -> None:
        await self._channel.call("ping")
        number = self._channel.dials  # should it break from here on, the next watch sees another number
        if identify or self._told != number:
            await self._channel.call("identify", codec.encode(self._credentials))
        if self._document is not None:
            answer: Any = await self._channel.call("apply", codec.encode(self._document))
            self.generation = int(answer["generation"])
            self.addresses = [(str(host), int(port)) for host, port in answer["addresses"]]
        self._told = number
