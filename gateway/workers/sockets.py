"""The listening sockets of callers: the supervisor owns them, and a worker gets their descriptors.

They survive the worker: while it is replaced, callers wait in the kernel's queue, and the next worker serves them. It
gets the sockets that are open already by asking for the same addresses, so that port 0 keeps its port.

A worker asks over a pair of Unix sockets that is made for each start, so that nothing of the worker before is left in
it. A message is one packet of text:

    request    open\\n80 127.0.0.1             one address: its port, a blank, its host
               keep\\n80 127.0.0.1\\n80 ::1     all that are wanted: the others are closed
    response   2                              and so many descriptors (SCM_RIGHTS, unix(7))
               0\\na sentence                  what was wrong
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Collection, Iterator
from typing import Final, TypedDict

from gateway.core.address import Address
from gateway.core.tasks import Tasks
from gateway.proxy.bindings import Bindings, KeptBindings, close

_MAX_MESSAGE: Final = 128 << 10
_MAX_DESCRIPTORS: Final = 253
"""SCM_MAX_FD of Linux."""


class KeptLine(TypedDict):
    """The supervisor's end of a line to a worker of ``slot``."""

    slot: int
    descriptor: int


class KeptSockets(TypedDict):
    """What `OwnedSockets` consists of."""

    bindings: KeptBindings
    lines: list[KeptLine]


class OwnedSockets:
    """The supervisor's end. The sockets stay open from one worker to the next. Each address has one for each slot.

    ``kept``: the sockets of the program before this one, and its lines to workers that run.
    """

    def __init__(self, slots: int = 1, kept: KeptSockets | None = None) -> None:
        self._bindings = Bindings(slots, None if kept is None else kept["bindings"])
        self._serving = Tasks()
        self._lines: dict[socket.socket, int] = {}
        """With the slot of the worker."""
        for line in [] if kept is None else kept["lines"]:
            self._attend(socket.socket(fileno=line["descriptor"]), line["slot"], lambda: None)

    def kept(self) -> KeptSockets:
        """What the next program needs."""
        lines: list[KeptLine] = [
            {"slot": slot, "descriptor": line.fileno()} for line, slot in self._lines.items() if line.fileno() >= 0
        ]
        return {"bindings": self._bindings.kept(), "lines": lines}

    @contextlib.contextmanager
    def line(self, slot: int = 0, listens: Callable[[], object] = lambda: None) -> Iterator[int]:
        """A descriptor for a worker of ``slot`` that is started in this context: its end of a new line to here.

        ``listens`` is called whenever the worker has applied a configuration and begins to accept connections.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._attend(ours, slot, listens)
        with theirs:
            yield theirs.fileno()

    def close(self) -> None:
        """Close all sockets, here and in the workers: new connections are refused from here on."""
        self._bindings.close()

    async def aclose(self) -> None:
        """Close the lines too."""
        self.close()
        await self._serving.aclose()
        close(self._lines)  # also of a task that had not begun

    def _attend(self, line: socket.socket, slot: int, listens: Callable[[], object]) -> None:
        line.setblocking(False)
        self._lines[line] = slot
        self._serving.start(self._serve(line, slot, listens), "give a worker its sockets")

    async def _serve(self, line: socket.socket, slot: int, listens: Callable[[], object]) -> None:
        """Until the worker's end."""
        loop = asyncio.get_running_loop()
        with line, contextlib.suppress(ConnectionError):
            while message := await loop.sock_recv(line, _MAX_MESSAGE):
                sockets: list[socket.socket] = []
                try:
                    sockets = await self._do(message, slot)
                    socket.send_fds(line, [b"%d" % len(sockets)], [sock.fileno() for sock in sockets])
                    if not sockets:
                        listens()
                except (OSError, ValueError) as error:
                    line.send(f"0\n{error}".encode())
                finally:
                    close(sockets)
        self._lines.pop(line, None)

    async def _do(self, message: bytes, slot: int) -> list[socket.socket]:
        """Raises OSError with a sentence for its text, and ValueError for what is no message."""
        operation, *rows = message.decode().split("\n")
        addresses = [Address(host, int(port)) for port, host in (row.split(" ") for row in rows)]
        match operation, addresses:
            case "open", [address]:
                return await self._bindings.open(address, slot)
            case "keep", _:
                await self._bindings.keep(addresses, slot)
                return []
        raise ValueError(f"the supervisor does not understand {operation[:20]!r}")


class LentSockets:
    """The worker's end: a `Binder` whose sockets the supervisor owns.

    Each operation raises OSError when the supervisor rejects it, or has ended.
    """

    def __init__(self, line: socket.socket) -> None:
        """``line``: the descriptor that `OwnedSockets.line` gave."""
        line.setblocking(False)
        self._line = line
        self._lock = asyncio.Lock()

    async def open(self, address: Address) -> list[socket.socket]:
        """As `Bindings.open`."""
        return await self._ask("open", [address])

    async def keep(self, addresses: Collection[Address]) -> None:
        """As `Bindings.keep`; the sockets that go are closed in every process."""
        await self._ask("keep", addresses)

    def close(self) -> None:
        self._line.close()

    async def _ask(self, operation: str, addresses: Collection[Address]) -> list[socket.socket]:
        async with self._lock:
            try:
                self._line.send("\n".join([operation, *(f"{each.port} {each.host}" for each in addresses)]).encode())
                await _readable(self._line)
                text, descriptors, _, _ = socket.recv_fds(self._line, _MAX_MESSAGE, _MAX_DESCRIPTORS)
            except ConnectionError:
                text, descriptors = b"", []
            except BaseException:  # the response would come to the next question
                self._line.shutdown(socket.SHUT_RDWR)
                raise
        sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        for sock in sockets:
            sock.set_inheritable(False)
            sock.setblocking(False)  # also for Python: else a duplicate would be blocking, and with it all of them
        count, _, error = text.decode().partition("\n")
        if not text:
            error = "listen: the supervisor, which owns the listening sockets, has ended"
        elif not error and int(count) != len(sockets):  # the kernel drops what finds no place
            error = f"listen: {len(sockets)} of {count} sockets arrived; raise the limit of open files (ulimit -n)"
        if error:
            close(sockets)
            raise OSError(error)
        return sockets


async def _readable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    arrived: asyncio.Future[None] = loop.create_future()

    def arrive() -> None:
        loop.remove_reader(sock.fileno())
        arrived.set_result(None)

    loop.add_reader(sock.fileno(), arrive)
    try:
        await arrived
    finally:
        loop.remove_reader(sock.fileno())
