"""One active health check: a request of the gateway's own, over the connections of the endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from gateway import errors
from gateway.config.records import HealthCheck
from gateway.core.limits import Limits
from gateway.core.message import OutgoingRequest, ResponseHead
from gateway.core.statuses import statuses
from gateway.core.stream import ClientStream, Sink, Source
from gateway.errors import GatewayError
from gateway.upstream.origin import Origin
from gateway.upstream.pool import Pool

_MOST_BODY: Final = 64 * 1024
"""Bytes of a response that are looked at; the rest of a longer one is not read."""
_FIELDS: Final = b"User-Agent: breakwater-health\r\nAccept: */*\r\n"
_NOTHING_REPLACED: Final[frozenset[bytes]] = frozenset()


class _Response:
    """Keeps the status and the begin of the body."""

    full = False
    takes_chunks = False
    blocked = 0.0

    def __init__(self, stream: ClientStream, on_head: Callable[[ResponseHead], object] | None) -> None:
        self.status = 0
        self.body = b""
        self.long = False
        """There is more of the body than is kept: the check ends here."""
        self._stream = stream
        self._on_head = on_head

    @property
    def body_out(self) -> int:
        return len(self.body)

    def interim(self, head: ResponseHead) -> None:
        """Nothing to do for a 1xx."""

    def begin(self, head: ResponseHead, source: Source | None) -> Sink:
        self.status = head.status
        if self._on_head is not None:
            self._on_head(head)
        return self

    def switch(self, head: ResponseHead) -> None:
        """Nothing asks for it, and the status says enough."""
        self.status = head.status

    def data(self, piece: memoryview, *, pooled: bool) -> None:
        del pooled
        if not self.long:
            self.body += bytes(piece[: _MOST_BODY - len(self.body)])
            if len(self.body) >= _MOST_BODY:
                self.long = True
                # Not at once: this is called by the stream while it reads.
                asyncio.get_running_loop().call_soon(self._stream.fail, GatewayError(errors.CLIENT_GONE))

    def pieces(self, parts: list[memoryview], *, pooled: bool) -> None:
        for part in parts:
            self.data(part, pooled=pooled)

    def chunks(self, raw: bytes, size: int) -> None:
        raise AssertionError("it does not take chunks")

    def flush(self) -> None:
        """Nothing is kept back."""

    def end(self, trailers: list[bytes]) -> None:
        """The check looks at the whole when the stream has ended."""

    def ended(self) -> None:
        """As `end`."""

    def whole(self, body: memoryview) -> None:
        self.data(body, pooled=False)


class Probe:
    """Checks one endpoint."""

    def __init__(
        self,
        origin: Origin,
        pool: Pool,
        settings: HealthCheck,
        on_head: Callable[[ResponseHead], object] | None = None,
    ) -> None:
        """``on_head``: called with the head of each response, a bad one too."""
        self._pool = pool
        self._on_head = on_head
        self._settings = settings
        self._statuses = statuses(settings.expect_status)
        connector = pool.connector
        fields = b"".join([b"%b: %b\r\n" % field for field in connector.proxy_fields])
        self._request = OutgoingRequest(
            b"GET",
            connector.absolute_form + origin.base + settings.path.encode(),
            origin.authority.encode(),
            _FIELDS + fields,
            0,
            takes_trailers=False,
            replaced=_NOTHING_REPLACED,
        )

    async def check(self) -> str:
        """Why the endpoint has failed, in words; empty: it is well."""
        try:
            async with asyncio.timeout(self._settings.timeout):
                return await self._attempt()
        except TimeoutError:
            return f"no response within {self._settings.timeout:g} s"
        except GatewayError as error:
            return f"{error.reason.code}: {error.details}"

    async def _attempt(self) -> str:
        stream = self._pool.take()
        if stream is not None:
            try:
                return await self._over(stream)
            except GatewayError as error:
                if not (error.retryable or error.unprocessed):  # the connection was stale, as any pooled one may be
                    raise
        return await self._over(await self._pool.dial())

    async def _over(self, stream: ClientStream) -> str:
        response = _Response(stream, self._on_head)
        self._pool.checks += 1
        try:
            await stream.send(self._request, b"", b"", response, Limits())
        except BaseException as error:
            stream.abandon(0.0)
            if not (response.long and isinstance(error, GatewayError)):
                raise
        else:
            stream.release(True)
        finally:
            self._pool.checks -= 1
        return self._judged(response)

    def _judged(self, response: _Response) -> str:
        status, wanted = response.status, self._settings.expect_body
        if status not in self._statuses:
            return f"status {status}, where {', '.join(self._settings.expect_status)} is expected"
        if wanted and wanted.encode() not in response.body:
            return "the expected text is not in the response"
        return ""
