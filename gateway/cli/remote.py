"""Acts on a remote gateway, over its REST API."""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import Final, Self

import aiohttp
import orjson

from gateway.admin.errors import AdminError, not_found, validation
from gateway.cli.downloads import Download
from gateway.cli.types import Json

_SECONDS: Final = 30.0
_LONGER: Final = {"/workers/upgrade": 180.0, "/execute": 900.0}
"""Limits of requests that the gateway itself gives more time."""


class RemoteCaller:
    """``server`` is the URL of the admin listener, or ``unix:`` and the path of its socket; ``tls`` is for ``https://``."""

    def __init__(self, server: str, token: str, tls: ssl.SSLContext | None = None) -> None:
        self._socket = server.removeprefix("unix:") if server.startswith("unix:") else ""
        self._base = ("http://localhost" if self._socket else server.rstrip("/")) + "/api/gateway"
        self._where = server if self._socket else self._base
        self._tls = tls
        self._token = token
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.UnixConnector(self._socket) if self._socket else aiohttp.TCPConnector(ssl=self._tls or True)
        self._session = aiohttp.ClientSession(
            connector=connector,
            # What a third party has encoded stays so, and nothing else is to be encoded.
            headers={"Authorization": f"Bearer {self._token}", "Accept-Encoding": "identity"},
            auto_decompress=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(self, method: str, path: str, body: Mapping[str, object] | None = None, **query: object) -> Json:
        status, text = await self._send(method, path, body, query)
        answer = self._parsed(status, text)
        if status in (200, 201, 202) and isinstance(answer, dict):
            return answer
        if status == 204:
            return None
        raise self._no_gateway()

    async def download(self, path: str, body: Mapping[str, object], **query: object) -> Download:
        """As `gateway.cli.client.Caller.download`. A body that breaks off is an error."""
        response = await self._begun("POST", path, body, {"raw": True, **query})
        rest = _Rest(response, self._unreachable)
        if response.status != 200 or "X-Upstream-Status" not in response.headers:
            self._parsed(response.status, await rest.whole())
            raise self._no_gateway()
        return Download(b"", {name.lower(): value for name, value in response.headers.items()}, rest)

    async def _send(
        self, method: str, path: str, body: Mapping[str, object] | None, query: Mapping[str, object]
    ) -> tuple[int, bytes]:
        response = await self._begun(method, path, body, query)
        return response.status, await _Rest(response, self._unreachable).whole()

    async def _begun(
        self, method: str, path: str, body: Mapping[str, object] | None, query: Mapping[str, object]
    ) -> aiohttp.ClientResponse:
        """A response whose body is still to be read."""
        assert self._session is not None
        _check_names(path)
        given = {n: str(v).lower() if isinstance(v, bool) else str(v) for n, v in query.items() if v is not None}
        data = None if body is None else _encoded(body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        limit = aiohttp.ClientTimeout(total=_LONGER.get(path, _SECONDS))
        try:
            response = await self._session.request(
                method,
                self._base + path,
                params=given,
                data=data,
                headers=headers,
                timeout=limit,
                allow_redirects=False,
            )
        except aiohttp.ClientConnectorCertificateError as error:
            why = f"shows a certificate that is rejected ({error.certificate_error}); name its authority in --ca"
            raise AdminError(502, "no_gateway", "Bad Gateway", f"{self._where} {why}") from None
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise self._unreachable(error) from None
        if "X-Request-Id" not in response.headers:
            response.close()
            raise self._no_gateway()
        return response

    def _unreachable(self, error: Exception) -> AdminError:
        return AdminError(503, "unavailable", "", f"{self._where} cannot be reached ({_why(error)}); {_remedy(error)}")

    def _parsed(self, status: int, text: bytes) -> Json:
        """The JSON of a response. Raises `AdminError` for what is refused, and for what no gateway sends."""
        try:
            answer = orjson.loads(text) if text else None
        except orjson.JSONDecodeError:
            raise self._no_gateway() from None
        if status >= 400 and isinstance(answer, dict) and answer.get("code", "no_route") != "no_route":
            raise _error(status, answer)
        return answer

    def _no_gateway(self) -> AdminError:
        details = f"{self._where} does not respond as the admin API does; name the address of the admin listener"
        return AdminError(502, "no_gateway", "Bad Gateway", details)


def _why(error: Exception) -> str:
    """The cause alone: the texts of aiohttp name the address once more."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):  # with numbers of its own, which depend on the resolver
        return f"its name cannot be resolved: {error.os_error.strerror or error.os_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
        if cause.errno and not isinstance(cause, ssl.SSLError):  # whose numbers are not those of the system
            return os.strerror(cause.errno)
        return str(cause.strerror or cause)
    return str(error) or "no response in time"


def _remedy(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return "write http:// where it has no TLS, and name a certificate in --cert where it requires one"
    return "see whether the gateway runs, and name the address of its admin listener"


def _check_names(path: str) -> None:
    """Raises `AdminError` for a name that would lead to another route (RFC 3986 5.2.4)."""
    for name in path.split("/")[1:]:
        if not name:
            raise not_found("the name is empty; write one")
        if name in (".", ".."):
            raise not_found(f"no URL has {name} as a name; find it by --config or --database, where the database is")


class _Rest:
    """The body of ``response``. ``failed`` makes the error of one that breaks off."""

    def __init__(self, response: aiohttp.ClientResponse, failed: Callable[[Exception], AdminError]) -> None:
        self._response = response
        self._failed = failed

    async def piece(self) -> bytes:
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise self._failed(error) from None

    async def whole(self) -> bytes:
        try:
            return b"".join([piece async for piece in self._pieces()])
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        self._response.release() if self._response.content.at_eof() else self._response.close()

    async def _pieces(self) -> AsyncIterator[bytes]:
        while piece := await self.piece():
            yield piece


def _encoded(body: Mapping[str, object]) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError:  # the message of orjson may quote a secret
        raise validation([("", "holds what JSON cannot; write UTF-8 and numbers of 64 bits")]) from None


def _error(status: int, told: Mapping[str, Json]) -> AdminError:
    fields = [(str(f.get("path")), str(f.get("message"))) for f in told.get("fields", [])]
    usual = {"error", "details", "code", "fields", "request_id"}
    extra = {key: value for key, value in told.items() if key not in usual}
    return AdminError(
        status, str(told.get("code", "")), str(told.get("error", "")), str(told.get("details", "")), fields, extra
    )
