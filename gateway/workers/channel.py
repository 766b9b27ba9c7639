"""The channel between the control process and a worker: requests and answers as JSON over a Unix socket.

The worker listens and the control process dials, so that a control process that died is replaced by one that dials
again: a half-sent message dies with its connection. A message is its length (4 bytes, big-endian) and a JSON object:

    request  {"id": 1, "op": "apply", "body": {...}}
    answer   {"id": 1, "body": {...}}                  or  {"id": 1, "error": "a sentence"}
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any, Final

import orjson

_log = logging.getLogger(__name__)

_LENGTH: Final = 4
_MAX_MESSAGE: Final = 256 << 20

Operation = Callable[[Any], Awaitable[object]]
"""Takes the body of a request, gives the body of its answer; both are what JSON can hold."""


class ChannelError(Exception):
    """The worker can not be reached, or refused. The text is a sentence."""


class RefusedError(ChannelError):
    """The worker understood, and changed nothing: its answer is an error."""


async def _read(reader: asyncio.StreamReader) -> dict[str, Any] | None:
    """The next message, None at the end of the stream."""
    try:
        size = int.from_bytes(await reader.readexactly(_LENGTH), "big")
        if size > _MAX_MESSAGE:
            raise ChannelError(f"a message of {size} bytes is more than the channel takes")
        message = orjson.loads(await reader.readexactly(size))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    if not isinstance(message, dict):
        raise ChannelError("a message is not an object")
    return message


def _packed(message: dict[str, object]) -> bytes:
    text = orjson.dumps(message)
    return len(text).to_bytes(_LENGTH, "big") + text


class ChannelServer:
    """The worker's end: answers each request by the operation of its name, one after the other."""

    def __init__(self, operations: dict[str, Operation]) -> None:
        self._operations = operations
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self, listener: Any) -> None:
        """Serve on ``listener``, a listening Unix `socket.socket`."""
        self._server = await asyncio.start_unix_server(self._serve, sock=listener)

    async def aclose(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while (request := await _read(reader)) is not None:
                writer.write(_packed(await self._answer(request)))
                await writer.drain()
        except (ChannelError, ConnectionError, orjson.JSONDecodeError) as error:
            _log.warning("the control process's channel broke: %s", error)
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, request: dict[str, Any]) -> dict[str, object]:
        operation = self._operations.get(str(request.get("op")))
        if operation is None:
            return {"id": request.get("id"), "error": f"there is no operation {request.get('op')!r}"}
        try:
            body = await operation(request.get("body"))
        except Exception as error:
            _log.exception("operation %s failed", request.get("op"))
            return {"id": request.get("id"), "error": str(error) or type(error).__name__}
        return {"id": request.get("id"), "body": body}


class ChannelClient:
    """The control process's end. It dials when it is needed, and anew after a break."""

    def __init__(self, path: str, *, timeout: float = 5.0) -> None:
        self._path = path
        self._timeout = timeout
        self._ids = count(1)
        self._lock = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.dials = 0
        """Connections made so far: a new one may mean a new worker, which knows nothing yet."""

    @property
    def connected(self) -> bool:
        return self._streams is not None

    async def call(self, op: str, body: bytes = b"null") -> Any:
        """The answer's body; ``body`` is JSON. Raises `ChannelError` when the worker refuses, is away, or is slow."""
        async with self._lock:
            try:
                async with asyncio.timeout(self._timeout):
                    answer = await self._exchange(op, body)
            except TimeoutError:
                await self._hang_up()
                raise ChannelError(f"the worker did not answer {op} within {self._timeout:g} seconds") from None
            except OSError as error:
                await self._hang_up()
                raise ChannelError(f"the worker can not be reached: {error}") from None
            except BaseException:
                await self._hang_up()
                raise
        if "error" in answer:
            raise RefusedError(str(answer["error"]))
        return answer.get("body")

    async def aclose(self) -> None:
        await self._hang_up()

    async def _exchange(self, op: str, body: bytes) -> dict[str, Any]:
        if self._streams is not None and self._streams[0].at_eof():
            await self._hang_up()
        if self._streams is None:
            self._streams = await asyncio.open_unix_connection(self._path)
            self.dials += 1
        reader, writer = self._streams
        number = next(self._ids)
        writer.write(_packed({"id": number, "op": op, "body": orjson.Fragment(body)}))
        await writer.drain()
        answer = await _read(reader)
        if answer is None:
            raise ConnectionResetError("it closed the channel")
        if answer.get("id") != number:
            raise ChannelError("the worker answered another question")
        return answer

    async def _hang_up(self) -> None:
        streams, self._streams = self._streams, None
        if streams is not None:
            streams[1].close()
            with contextlib.suppress(OSError):
                await streams[1].wait_closed()
