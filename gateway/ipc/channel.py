"""The channel between the control process and a worker: requests and responses as JSON over a Unix socket.

The worker listens and the control process dials, so that a control process that died is replaced by one that dials
again: a half-sent message dies with its connection. A message is its length (4 bytes, big-endian) and a JSON object:

    request   {"id": 1, "op": "explain", "body": ["chat"]}      the arguments, in order
    response  {"id": 1, "body": {...}}                          or  {"id": 1, "error": "a sentence"}

What stands in a body follows from an interface, a class of asynchronous methods: its annotations say how each is
encoded and decoded, so that both ends have one list of operations and no field is spelled here.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import select
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from itertools import count
from types import GenericAlias
from typing import Any, Final, TypeVar, TypeVarTuple, cast, get_type_hints

import msgspec

from gateway.core.clock import Clock, monotonic

_LENGTH: Final = 4
PING: Final = "ping"
"""The operation that each worker responds to at once."""
_MAX_MESSAGE: Final = 256 << 20
_MOST_IDLE: Final = 32
"""Connections of `ChannelClient.line` that are kept for the next calls."""
_FRESH_SECONDS: Final = 1.0
"""A kept connection that had a response so short a time ago needs no ping: its process has just shown that it works."""

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")
Message = TypeVar("Message")


class ChannelError(Exception):
    """The worker cannot be reached, or it rejected the request. The text is a sentence."""


class RefusedError(ChannelError):
    """The worker understood, and changed nothing: its response is an error."""


class UnsentError(ChannelError):
    """The worker was not reached, or has not begun, so that another one may be asked."""


class Request(msgspec.Struct):
    """``op``: the name of an operation; ``body``: an array of its arguments."""

    id: int
    op: str
    body: msgspec.Raw


class Response(msgspec.Struct, omit_defaults=True):
    """``body``: the result of the request with the same ``id``; ``error``: why there is none; ``unsent``: nothing was
    done, so that another worker may get the request."""

    id: int
    body: msgspec.Raw = msgspec.Raw(b"null")
    error: str | None = None
    unsent: bool = False


_RESPONSES: Final = msgspec.json.Decoder(Response)


@dataclass(frozen=True, slots=True)
class Operation:
    """How the arguments and the result of one method are decoded. The types are those of its annotations."""

    arguments: msgspec.json.Decoder[tuple[object, ...]]
    result: msgspec.json.Decoder[object]


def operations(interface: type) -> Mapping[str, Operation]:
    """The operations of a channel, by name: the public methods of ``interface``, with positional arguments alone."""
    found = {}
    for name, method in inspect.getmembers(interface, inspect.isfunction):
        if not name.startswith("_"):
            types = get_type_hints(method)
            result = types.pop("return")
            arguments: Any = GenericAlias(tuple, tuple(types.values()))
            found[name] = Operation(msgspec.json.Decoder(arguments), msgspec.json.Decoder(result))
    return found


async def read(reader: asyncio.StreamReader, decoder: msgspec.json.Decoder[Message]) -> Message | None:
    """The next message, None at the end of the stream. Raises `ChannelError` for what is none."""
    try:
        size = int.from_bytes(await reader.readexactly(_LENGTH), "big")
        if size > _MAX_MESSAGE:
            raise ChannelError(f"a message of {size} bytes is more than the channel takes")
        return decoder.decode(await reader.readexactly(size))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    except msgspec.DecodeError as error:
        raise ChannelError(f"a message cannot be read: {error}") from None


def packed(message: Request | Response) -> bytes:
    """``message`` with its length, as it travels."""
    text = msgspec.json.encode(message)
    return len(text).to_bytes(_LENGTH, "big") + text


class Line:
    """A connection that no other call uses meanwhile. What the worker has begun for its calls ends with it."""

    def __init__(self, streams: _Streams, table: Mapping[str, Operation]) -> None:
        self.streams = streams
        self._table = table
        self.idle = True
        """No call on it was given up, so that another one may follow."""

    async def call(self, method: Callable[[Any, *Arguments], Awaitable[Result]], *arguments: *Arguments) -> Result:
        """As `ChannelClient.call`, without a limit of time. When this is cancelled, the line has to be closed."""
        op = method.__name__
        reader, writer = self.streams
        self.idle = False
        try:
            writer.write(packed(Request(0, op, msgspec.Raw(msgspec.json.encode(arguments)))))
            await writer.drain()
            response = await read(reader, _RESPONSES)
            if response is None:
                raise ConnectionResetError("it closed the channel")
        except OSError as error:
            raise ChannelError(f"the worker cannot be reached: {error}") from None
        self.idle = True
        if response.error is not None:
            raise UnsentError(response.error) if response.unsent else RefusedError(response.error)
        try:
            return cast(Result, self._table[op].result.decode(response.body))
        except msgspec.DecodeError as error:
            raise ChannelError(f"the worker's response to {op} cannot be read: {error}") from None

    def close(self) -> None:
        self.idle = False
        self.streams[1].close()


class ChannelClient:
    """The control process's end. It dials when it is needed, and again after a break.

    ``table``: the `operations` of the interface that the worker serves. ``timeout`` is seconds.
    """

    def __init__(
        self, path: str, table: Mapping[str, Operation], *, timeout: float = 5.0, clock: Clock = monotonic
    ) -> None:
        self._path = path
        self._table = table
        self._timeout = timeout
        self._clock = clock
        self._ids = count(1)
        self._lock = asyncio.Lock()
        self._streams: _Streams | None = None
        self._idle: list[tuple[_Streams, float]] = []
        """Those of lines whose calls have ended, each with the time of its last response."""
        self.dials = 0
        """Connections made so far: a new one may mean a new worker, which knows nothing yet."""

    @property
    def connected(self) -> bool:
        return self._streams is not None

    async def call(self, method: Callable[[Any, *Arguments], Awaitable[Result]], *arguments: *Arguments) -> Result:
        """Call ``method``, one of the interface, on the worker's side.

        Raises `ChannelError` when the worker refuses, is away, or is slow.
        """
        op = method.__name__
        body = msgspec.json.encode(arguments)
        async with self._lock:
            try:
                async with asyncio.timeout(self._timeout):
                    response = await self._exchange(op, body)
            except TimeoutError:
                await self._hang_up()
                raise ChannelError(f"the worker did not respond to {op} within {self._timeout:g} seconds") from None
            except OSError as error:
                await self._hang_up()
                raise ChannelError(f"the worker cannot be reached: {error}") from None
            except BaseException:
                await self._hang_up()
                raise
        if response.error is not None:
            raise RefusedError(response.error)
        try:
            # Decoded by the annotation of `method`, where `Result` comes from.
            return cast(Result, self._table[op].result.decode(response.body))
        except msgspec.DecodeError as error:
            raise ChannelError(f"the worker's response to {op} cannot be read: {error}") from None

    async def line(self) -> Line:
        """A connection for calls of its own: the others do not wait for them. Raises `UnsentError`."""
        return Line(await self._taken(), self._table)

    def give_back(self, line: Line) -> None:
        """Keep ``line`` for the next calls, or close it where a call on it has not ended."""
        if line.idle and len(self._idle) < _MOST_IDLE:
            self._idle.append((line.streams, self._clock()))
        else:
            line.close()

    async def _taken(self) -> _Streams:
        """A connection that a process has taken: a kept one, else a new one. Raises `UnsentError`.

        The listening socket outlives the worker: a connection that comes behind its end waits there for the next one,
        which may never come, as for a place that a rolling restart has left.
        """
        while self._idle:
            streams, at = self._idle.pop()
            if _ended(streams[1]):
                streams[1].close()
                self._drop_idle()  # all of them were to this process
            elif self._clock() - at < _FRESH_SECONDS:
                return streams
            else:
                return await self._pinged(streams)
        try:
            streams = await asyncio.open_unix_connection(self._path)
        except OSError as error:
            raise UnsentError(f"the worker cannot be reached: {error}") from None
        return await self._pinged(streams)

    async def _pinged(self, streams: _Streams) -> _Streams:
        """``streams``, whose process has responded. Raises `UnsentError`, and closes them, where none does."""
        reader, writer = streams
        response = None
        try:
            async with asyncio.timeout(self._timeout):
                writer.write(packed(Request(next(self._ids), PING, msgspec.Raw(b"[]"))))
                await writer.drain()
                response = await read(reader, _RESPONSES)
        except TimeoutError:
            raise UnsentError(f"the worker did not take a call within {self._timeout:g} seconds") from None
        except OSError as error:
            raise UnsentError(f"the worker cannot be reached: {error}") from None
        finally:
            if response is None:
                writer.close()
        if response is None:
            raise UnsentError("the worker cannot be reached: it closed the channel")
        return streams

    def _drop_idle(self) -> None:
        for (_, writer), _ in self._idle:
            writer.close()
        self._idle.clear()

    async def aclose(self) -> None:
        self._drop_idle()
        await self._hang_up()

    async def _exchange(self, op: str, body: bytes) -> Response:
        if self._streams is not None and self._streams[0].at_eof():
            await self._hang_up()
        if self._streams is None:
            self._streams = await asyncio.open_unix_connection(self._path)
            self.dials += 1
        reader, writer = self._streams
        number = next(self._ids)
        writer.write(packed(Request(number, op, msgspec.Raw(body))))
        await writer.drain()
        response = await read(reader, _RESPONSES)
        if response is None:
            raise ConnectionResetError("it closed the channel")
        if response.id != number:
            raise ChannelError("the worker's response belongs to another request")
        return response

    async def _hang_up(self) -> None:
        streams, self._streams = self._streams, None
        if streams is not None:
            streams[1].close()
            with contextlib.suppress(OSError):
                await streams[1].wait_closed()


def _ended(writer: asyncio.StreamWriter) -> bool:
    """Whether the process at the other end of an idle connection has closed it, also since the last turn of the loop.

    Nothing but the end is read from a connection without a request.
    """
    if writer.is_closing():
        return True
    poll = select.poll()
    poll.register(writer.get_extra_info("socket").fileno(), select.POLLIN)
    return bool(poll.poll(0))


class NoChannel(ChannelClient):
    """Where there is no worker: every call raises `ChannelError` with ``reason``, a sentence."""

    def __init__(self, reason: str) -> None:
        super().__init__("", {})
        self._reason = reason

    async def call(self, method: Callable[[Any, *Arguments], Awaitable[Result]], *arguments: *Arguments) -> Result:
        raise ChannelError(self._reason)

    async def line(self) -> Line:
        raise UnsentError(self._reason)
