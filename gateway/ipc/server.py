"""The worker's end of the channel: a data plane, served to the control process."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Collection, Mapping

import msgspec

from gateway.ipc.channel import ChannelError, Operation, Request, Response, UnsentError, packed, read

_log = logging.getLogger(__name__)

End = Callable[[], None]


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

    async def start(self, listener: socket.socket) -> None:
        """Serve on ``listener``, a listening Unix socket."""
        self._server = await asyncio.start_unix_server(self._serve, sock=listener)

    async def aclose(self) -> None:
        """End, also in the middle of a request: the control process that wants its response is gone, or ends too."""
        if self._server is not None:
            self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        ends: list[End] = []
        apart = False
        try:
            while (request := await read(reader, self._requests)) is not None:
                if apart := request.op in self._apart:
                    response = await self._serve_apart(request, reader, ends)
                else:
                    response = await self._answer(request)
                if response is None:
                    return
                writer.write(packed(response))
                await writer.drain()
        except (ChannelError, ConnectionError) as error:
            level = logging.DEBUG if apart else logging.WARNING  # there it is a caller of the API who has left
            _log.log(level, "the control process's channel broke: %s", error)
        except asyncio.CancelledError:
            pass  # by `aclose`. Python 3.11 logs a cancelled callback of a server as an error.
        finally:
            self._serving.discard(task)
            writer.close()
            for end in ends:
                end()

    async def _serve_apart(self, request: Request, reader: asyncio.StreamReader, ends: list[End]) -> Response | None:
        """None: the connection has closed before. What the result has begun is added to ``ends``."""
        answer = asyncio.ensure_future(self._answer(request, ends))
        gone = asyncio.ensure_future(reader.read(1))  # nothing is sent before the response: it ends at the end alone
        try:
            await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
            return answer.result() if answer.done() and not gone.done() else None
        finally:
            answer.cancel()
            gone.cancel()
            await asyncio.gather(answer, gone, return_exceptions=True)

    async def _answer(self, request: Request, ends: list[End] | None = None) -> Response:
        operation = self._table.get(request.op)
        if operation is None:
            return Response(request.id, error=f"there is no operation {request.op!r}")
        try:
            result = await getattr(self._target, request.op)(*operation.arguments.decode(request.body))
            if ends is not None and (end := self._begun(result)) is not None:
                ends.append(end)
            return Response(request.id, msgspec.Raw(msgspec.json.encode(result)))
        except UnsentError as error:
            return Response(request.id, error=str(error), unsent=True)
        except OSError as error:  # the machine lacks something, which is no defect: the caller logs the sentence
            return Response(request.id, error=str(error))
        except Exception as error:
            _log.exception("operation %s failed", request.op)
            return Response(request.id, error=str(error) or type(error).__name__)
