"""The connector `redis`: fixed commands with values within their arguments, in Redis and Valkey."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any, Final

from gateway.config import tls_context
from gateway.config.networks import Destinations
from gateway.config.schema.redis import RedisAction, RedisConnection
from gateway.connectors.addresses import permitted
from gateway.connectors.connector import Call, Connector, RejectedError
from gateway.connectors.resp import ReplyError, RespConnection
from gateway.core.clock import monotonic

_GREETING_BYTES: Final = 64 * 1024
_ILL: Final = frozenset(
    ("BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "NOAUTH", "NOREPLICAS", "OOM", "TRYAGAIN", "WRONGPASS")
)
"""First words of errors that do not speak of the command."""
_DENIED: Final = frozenset(("NOPERM", "READONLY"))


class RedisAwayError(Exception):
    """It is away, or does not work."""


class Redis(Connector[RedisConnection, RedisAction]):
    """A Redis, with connections that are kept while calls use them."""

    Connection = RedisConnection
    Action = RedisAction
    failures = (RedisAwayError, OSError, EOFError, TimeoutError)

    def __init__(self, connection: RedisConnection, destinations: Destinations) -> None:
        super().__init__(connection, destinations)
        self._server = connection.server
        mode = connection.tls.mode
        verified = mode == "verify" or (mode == "auto" and not self._server.local)
        self._tls = tls_context.client_context(ca=connection.tls.ca_pem or "", alpn=()) if verified else None
        self._idle: list[tuple[float, RespConnection]] = []
        """Since when each is, the longest first."""
        self._sweep: asyncio.TimerHandle | None = None

    async def perform(self, call: Call[RedisAction]) -> object:
        """The reply. Raises as `Connector.perform`."""
        try:
            command = list(call.action.arguments(call.input))
        except ValueError as error:
            raise RejectedError(str(error)) from None
        return _decoded(await self._asked(command, call.max_bytes), call.action.decode)

    async def test(self) -> None:
        """Whether it answers a PING."""
        await self._asked(["PING"], _GREETING_BYTES)

    async def aclose(self) -> None:
        """Close all connections."""
        if self._sweep is not None:
            self._sweep.cancel()
        for _, connection in self._idle:
            connection.close()

    async def _asked(self, command: list[str], most: int) -> object:
        connection = self._kept() or await self._opened()
        try:
            return await connection.call(command, most)
        except ReplyError as error:
            raise _meant(error) from None
        finally:
            if connection.usable:
                self._keep(connection)
            else:
                connection.close()

    def _kept(self) -> RespConnection | None:
        while self._idle:
            _, connection = self._idle.pop()
            if connection.usable:
                return connection
            connection.close()
        return None

    async def _opened(self) -> RespConnection:
        server = self._server
        async with asyncio.timeout(self.connection.connect_timeout_ms / 1000):
            address = await permitted(server.host, server.port, self.destinations)
            connection = await RespConnection.open(server.host if self._tls else address, server.port, self._tls)
            try:
                await connection.call(self._greeting(), _GREETING_BYTES)
                if server.name:
                    await connection.call(["SELECT", server.name], _GREETING_BYTES)
            except BaseException as error:
                connection.close()
                if isinstance(error, ReplyError):
                    raise RedisAwayError(error.code) from None
                raise
        return connection

    def _greeting(self) -> list[str]:
        server = self._server
        return ["HELLO", "3", "AUTH", server.user or "default", server.password] if server.password else ["HELLO", "3"]

    def _keep(self, connection: RespConnection) -> None:
        self._idle.append((monotonic(), connection))
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(self.connection.idle, self._close_idle)

    def _close_idle(self) -> None:
        self._sweep = None
        now, idle = monotonic(), self.connection.idle
        while self._idle and now - self._idle[0][0] >= idle:
            self._idle.pop(0)[1].close()
        if self._idle:
            left = idle - (now - self._idle[0][0])
            self._sweep = asyncio.get_running_loop().call_later(left, self._close_idle)


def _meant(error: ReplyError) -> Exception:
    if error.code in _ILL:
        return RedisAwayError(error.code)
    return RejectedError(error.message, error.code, 403 if error.code in _DENIED else 400)


def _decoded(value: object, how: str) -> Any:
    match value:
        case bytes():
            return _text(value, how)
        case list():
            return [_decoded(each, how) for each in value]
        case dict():
            return {key: _decoded(each, how) for key, each in value.items()}
        case ReplyError():
            return {"error": value.message, "code": value.code}
    return value


def _text(value: bytes, how: str) -> Any:
    if how == "base64":
        return base64.b64encode(value).decode()
    try:
        return json.loads(value) if how == "json" else value.decode()
    except ValueError:  # UnicodeDecodeError is one
        what = "JSON" if how == "json" else "text in UTF-8"
        raise RejectedError(f"a value is no {what}; write another decode", "decode", 422) from None
