"""The worker's end of the channel: a data plane, served to the control process."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from gateway.ipc.channel import ChannelError, Operation, Request, Response, UnsentError, packed, read

_log = logging.getLogger(__name__)

_SEND_SECONDS: Final = 2.0
"""Limit of the last responses, which the control process takes at once, unless it hangs."""
End = Callable[[], None]


@dataclass(slots=True)
class _Caller:
    """One connection. ``task``: serves it; ``apart``: so its current request is served; ``ends``: what its results have
    begun."""

    task: asyncio.Task[None]
    apart: bool = False
    ends: list[End] = field(default_factory=list)


class ChannelServer:
    """Serves each request by the method of ``target`` with its name, one after the other on each connection.

    ``table``: the `operations` of the interface that ``target`` implements; nothing else of it can be called.
    ``apart``: those that come by `ChannelClient.line`: one ends when its connection closes, because nothing wants the
    result any more. The next one comes on the same connection. ``begun``: ends what a result of these has begun, which
    is done when the connection closes; None: it has begun nothing.
    """

    def __init__(
        self,
        table: Mapping[str, Operation],
        target: object,
        apart: Collection[str] = (),
        begun: Callable[[object], End | None] = lambda result: None,
    ) -> None:
        self._table = table
        self._target = target
        self._apart = apart
        self._begun = begun
        self._requests = msgspec.json.Decoder(Request)
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._responding: set[asyncio.Task[None]] = set()
        """Those of `_serving` whose response is made, and not yet sent as a whole."""
        self._closing = False

    async def start(self, listener: socket.socket) -> None:
        """Serve on ``listener``, a listening Unix socket."""
        self._server = await asyncio.start_unix_server(self._serve, sock=listener)

    async def aclose(self) -> None:
        """End, also in the middle of a request. A response that is made is sent: with the last one a drain is over."""
        self._closing = True
        if self._server is not None:
            self._server.close()
        for task in self._serving - self._responding:
            task.cancel()
        if self._responding:
            _, slow = await asyncio.wait(self._responding, timeout=_SEND_SECONDS)
            for task in slow:
                task.cancel()
        await asyncio.gather(*self._serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        writer.transport.set_write_buffer_limits(high=0)  # so that `drain` waits for all of a response
        caller = _Caller(task)
        try:
            while not self._closing and (request := await read(reader, self._requests)) is not None:
                caller.apart = request.op in self._apart
                if caller.apart:
                    response = await self._serve_apart(request, reader, caller)
                else:
                    response = await self._answer(request, caller)
                if response is None:
                    return
                writer.write(packed(response))
                await writer.drain()
                self._responding.discard(task)
        except (ChannelError, ConnectionError) as error:
            level = logging.DEBUG if caller.apart else logging.WARNING  # there it is a caller of the API who has left
            _log.log(level, "the control process's channel broke: %s", error)
        except asyncio.CancelledError:
            pass  # by `aclose`. Python 3.11 logs a cancelled callback of a server as an error.
        finally:
            self._serving.discard(task)
            self._responding.discard(task)
            writer.close()
            for end in caller.ends:
                end()

    async def _serve_apart(self, request: Request, reader: asyncio.StreamReader, caller: _Caller) -> Response | None:
        """None: the connection has closed before."""
        answer = asyncio.ensure_future(self._answer(request, caller))
        gone = asyncio.ensure_future(reader.read(1))  # nothing is sent before the response: it ends at the end alone
        try:
            await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
            return answer.result() if answer.done() and not gone.done() else None
        finally:
            answer.cancel()
            gone.cancel()
            await asyncio.gather(answer, gone, return_exceptions=True)

    async def _answer(self, request: Request, caller: _Caller) -> Response:
        response = await self._made(request, caller)
        self._responding.add(caller.task)
        return response

    async def _made(self, request: Request, caller: _Caller) -> Response:
        operation = self._table.get(request.op)
        if operation is None:
            return Response(request.id, error=f"there is no operation {request.op!r}")
        try:
            result = await getattr(self._target, request.op)(*operation.arguments.decode(request.body))
            if caller.apart and (end := self._begun(result)) is not None:
                caller.ends.append(end)
            return Response(request.id, msgspec.Raw(msgspec.json.encode(result)))
        except UnsentError as error:
            return Response(request.id, error=str(error), unsent=True)
        except OSError as error:  # the machine lacks something, which is no defect: the caller logs the sentence
            return Response(request.id, error=str(error))
        except Exception as error:
            _log.exception("operation %s failed", request.op)
            return Response(request.id, error=str(error) or type(error).__name__)
