"""The live connectors of one data plane: built aside, swapped with the configuration, closed when their calls end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, cast

import orjson

from gateway.config.actions import REQUESTS, Connection
from gateway.config.kinds import kind_of
from gateway.config.networks import Destinations
from gateway.connectors.connector import Connector
from gateway.core.tasks import Tasks

AnyConnector = Connector[Any, Any]


class _Performer:
    """A connector, and how many calls use it."""

    def __init__(self, connection: Connection, connector: AnyConnector) -> None:
        self.settings = connection.settings
        self.connector = connector
        self.uses = 0
        self.idle = asyncio.Event()
        self.idle.set()

    async def retire(self) -> None:
        """Close it when the last call has ended."""
        await self.idle.wait()
        await self.connector.aclose()


class Performers:
    """Owns them. `prepare` builds, `adopt` applies."""

    def __init__(self) -> None:
        self.destinations = Destinations()
        self._live: dict[str, _Performer] = {}
        self._prepared: dict[str, _Performer] = {}
        self._retiring = Tasks()

    async def prepare(self, connections: Iterable[Connection], destinations: Destinations) -> None:
        """Build what ``connections`` need and is not there yet. Nothing that is live is touched.

        Raises OSError for a connector that cannot be used.
        """
        self.abandon()
        prepared = self._prepared = {}
        try:
            await self._build(connections, destinations, prepared)
        except BaseException:
            self.abandon()
            raise

    async def _build(
        self, connections: Iterable[Connection], destinations: Destinations, prepared: dict[str, _Performer]
    ) -> None:
        for connection in connections:
            if connection.kind in REQUESTS:
                continue
            live = self._live.get(connection.trn)
            if live is not None and live.settings == connection.settings and destinations == self.destinations:
                prepared[connection.trn] = live
            else:
                prepared[connection.trn] = _Performer(connection, await _built(connection, destinations))

    def abandon(self) -> None:
        """Give up what was prepared last."""
        prepared, self._prepared = self._prepared, {}
        self._retire(prepared, self._live)

    def adopt(self, destinations: Destinations) -> None:
        """Calls that begin from now on use what was prepared. Others end on what they began with."""
        before, self._live, self._prepared = self._live, self._prepared, {}
        self.destinations = destinations
        self._retire(before, self._live)

    def _retire(self, those: dict[str, _Performer], kept: dict[str, _Performer]) -> None:
        for trn, performer in those.items():
            if kept.get(trn) is not performer:
                self._retiring.start(performer.retire(), "retire connector")

    @asynccontextmanager
    async def borrowed(self, trn: str) -> AsyncIterator[AnyConnector]:
        """The connector of connection ``trn``, for one call."""
        performer = self._live[trn]
        performer.uses += 1
        performer.idle.clear()
        try:
            yield performer.connector
        finally:
            performer.uses -= 1
            if not performer.uses:
                performer.idle.set()

    async def aclose(self) -> None:
        """Close all; returns when their last calls have ended."""
        self.abandon()
        self.adopt(self.destinations)
        await self._retiring.finish()


async def _built(connection: Connection, destinations: Destinations) -> AnyConnector:
    kind = cast(type[AnyConnector], kind_of(connection.kind))
    try:
        await asyncio.to_thread(kind.load)
        return kind(kind.Connection.model_validate_json(orjson.dumps(connection.settings)), destinations)
    except Exception as error:
        # Its text may hold a part of what the connection says.
        raise OSError(f"connection {connection.trn} cannot be used: {type(error).__name__}") from None
