"""A front door at work: it reads the messages of clients, and responds to them in the words of their protocol."""

from __future__ import annotations

from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Final

import orjson

import gateway
from gateway.actions import eras
from gateway.actions.service import Actions
from gateway.config.mcp import DOOR, Mcp
from gateway.config.records import Route
from gateway.core.exchange import Exchange
from gateway.core.layer import Handler
from gateway.errors import FORBIDDEN, GatewayError
from gateway.ipc.calls import Asked
from gateway.mcp.message import Fields, Message, ProtocolError, check_form, read
from gateway.mcp.results import refused, result_of
from gateway.mcp.tools import Tool, tools_of
from gateway.proxy.collect import collected
from gateway.proxy.pipeline import Surface
from gateway.proxy.server import Server

PAGE: Final = 100
"""Tools in a response of ``tools/list``."""
_SECONDS_OF_A_LIST: Final = 5
_CALL: Final = "tools/call"
_Method = Callable[[Exchange, Message], Coroutine[None, None, dict[str, Any]]]


def doors(actions: Actions, server: Callable[[], Server]) -> Callable[[Route], Surface]:
    """What responds for a front door, by its route. ``actions``, ``server``: those of the data plane."""

    def surface(route: Route) -> Surface:
        door = _Door(route, actions, server)
        return Surface(door.speak, door.handle)

    return surface


class _Door:
    """`speak` and `handle` of a `gateway.proxy.pipeline.Surface`."""

    def __init__(self, route: Route, actions: Actions, server: Callable[[], Server]) -> None:
        assert route.mcp is not None
        self._settings: Mcp = route.mcp
        self._name = route.name
        self._origins = frozenset(origin.encode() for origin in self._settings.origins)
        self._info = {"name": route.name.removeprefix(DOOR), "version": gateway.__version__}
        self._actions = actions
        self._server = server
        self._known: dict[str, Tool] = {}
        self._known_of = -1
        self._messages: dict[Exchange, Message] = {}
        """Those that are being served."""
        both: dict[str, _Method] = {"tools/list": self._list, _CALL: self._call}
        self._modern: Mapping[str, _Method] = both | {"server/discover": self._discover}
        self._legacy: Mapping[str, _Method] = both | {"initialize": self._initialize, "ping": self._ping}

    def speak(self, next_handler: Handler) -> Handler:
        """The layer that takes the message, and that says in words what the layers below refuse of a call."""

        async def handle(ex: Exchange) -> None:
            fields = Fields(ex.request)
            try:
                self._check_origin(fields)
                check_form(ex.request.method, fields)
                message = read(await collected(ex, self._settings.max_body_bytes), fields)
                if message is None:
                    _respond(ex, 202, b"")
                    return
                self._messages[ex] = message
                await next_handler(ex)
            except ProtocolError as error:
                _respond_error(ex, error)
            except GatewayError as error:
                taken = self._messages.get(ex)
                if taken is None or taken.method != _CALL or ex.committed:
                    raise
                ex.reason = error.reason.code
                request_id = ex.request_id.decode("latin-1")
                self._respond_result(ex, taken, refused(error, request_id, self._limit(self._name)))
            finally:
                self._messages.pop(ex, None)

        return handle

    async def handle(self, ex: Exchange) -> None:
        """Serve the message of ``ex``."""
        message = self._messages[ex]
        serve = (self._modern if message.modern else self._legacy).get(message.method)
        if serve is None:
            versions = ", ".join(eras.SUPPORTED)
            text = f"Method not found: {message.method[:100]} (this server speaks {versions})"
            raise message.error(eras.METHOD_NOT_FOUND, text)
        self._respond_result(ex, message, await serve(ex, message))

    def _check_origin(self, fields: Fields) -> None:
        """A browser sends the origin of its page: 403 for any that is not listed, also when it is our own host, because
        a page can make its host name lead here."""
        for origin in fields.all(b"origin"):
            if origin.lower() not in self._origins:
                raise GatewayError(FORBIDDEN, "Pages of this Origin may not call the front door; list it in origins")

    # -- methods

    async def _initialize(self, ex: Exchange, message: Message) -> dict[str, Any]:
        del ex
        wanted = message.params.get("protocolVersion")
        return {
            "protocolVersion": wanted if wanted in eras.LEGACY else eras.LEGACY[0],
            "capabilities": {"tools": {}},
            "serverInfo": self._info,
            **self._told(),
        }

    async def _discover(self, ex: Exchange, message: Message) -> dict[str, Any]:
        del ex, message
        return {"supportedVersions": list(eras.MODERN), "capabilities": {"tools": {}}, **self._told(), **_cacheable()}

    async def _ping(self, ex: Exchange, message: Message) -> dict[str, Any]:
        del ex, message
        return {}

    async def _list(self, ex: Exchange, message: Message) -> dict[str, Any]:
        after = _position(message)
        found = [tool for tool in self._tools().values() if tool.name > after and tool.admits(ex)]
        result: dict[str, Any] = {"tools": [tool.definition for tool in found[:PAGE]]}
        if len(found) > PAGE:
            result["nextCursor"] = urlsafe_b64encode(found[PAGE - 1].name.encode()).decode()
        return result | (_cacheable() if message.modern else {})

    async def _call(self, ex: Exchange, message: Message) -> dict[str, Any]:
        name, given = message.params.get("name"), message.params.get("arguments")
        if not isinstance(name, str):
            raise message.error(eras.INVALID_PARAMS, "name must be the name of a tool")
        if given is not None and not isinstance(given, dict):
            raise message.error(eras.INVALID_PARAMS, "arguments must be an object")
        tool = self._tools().get(name)
        if tool is None or not tool.admits(ex):
            raise message.error(eras.INVALID_PARAMS, f"Unknown tool: {name[:100]}")
        asked = Asked(self._settings.tenant, tool.action, given or {}, request_id=ex.request_id.decode("latin-1"))
        called = await self._actions.call(self._server(), asked)
        return result_of(called, self._limit(tool.label), modern=message.modern)

    # -- what it knows

    def _tools(self) -> dict[str, Tool]:
        """Those of the configuration that is active."""
        actions = self._actions
        if self._known_of != actions.generation:
            self._known = tools_of(self._settings, actions.entries(self._settings.tenant))
            self._known_of = actions.generation
        return self._known

    def _limit(self, label: str) -> int:
        """Most requests at a time of the route ``label``; 0: there is no limit."""
        served = self._server().snapshot.served.get(label)
        limiter = None if served is None else served.upstream.limiter
        return 0 if limiter is None else limiter.max

    def _told(self) -> dict[str, Any]:
        return {"instructions": self._settings.instructions} if self._settings.instructions else {}

    def _respond_result(self, ex: Exchange, message: Message, result: dict[str, Any]) -> None:
        if message.modern:
            about = {**result.get("_meta", {}), eras.SERVER_KEY: self._info}
            result = {"resultType": "complete", **result, "_meta": about}
        response = {"jsonrpc": "2.0", "id": message.id, "result": result}
        try:
            body = orjson.dumps(response)
        except orjson.JSONEncodeError:  # nested more deeply than can be written again; the text has all of it
            result.pop("structuredContent", None)
            body = orjson.dumps(response)
        _respond(ex, 200, body)


def _cacheable() -> dict[str, Any]:
    """How long a client of the newer era may keep a result: for itself, because another caller may see other tools."""
    return {"ttlMs": _SECONDS_OF_A_LIST * 1000, "cacheScope": "private"}


def _position(message: Message) -> str:
    """The name of the last tool of the page before; empty: it is the first one."""
    cursor = message.params.get("cursor")
    if cursor is None:
        return ""
    try:
        return b64decode(cursor, b"-_", validate=True).decode("ascii")
    except (ValueError, TypeError):
        raise message.error(eras.INVALID_PARAMS, "cursor must be the nextCursor of a page") from None


def _respond_error(ex: Exchange, error: ProtocolError) -> None:
    told: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.data is not None:
        told["data"] = error.data
    id_ = {} if error.id is None else {"id": error.id}
    lines = [b"Allow: POST"] if error.status == 405 else []
    _respond(ex, error.status, orjson.dumps({"jsonrpc": "2.0", **id_, "error": told}), lines)


def _respond(ex: Exchange, status: int, body: bytes, lines: Iterable[bytes] = ()) -> None:
    """The whole response, with a body of JSON, or none."""
    ex.status = status
    ex.committed = True
    fields = [b"X-Request-Id: " + ex.request_id, *lines]
    if body:
        fields.append(b"Content-Type: application/json")
    quota = b"" if ex.quota is None else ex.quota.lines()
    ex.downstream.respond(status, b"".join([line + b"\r\n" for line in fields]) + quota, body)
    ex.bytes_out = len(body)
