"""The caller: it sends the bytes of an attack, and keeps all that comes back until nothing more does."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress

from gateway.wire.h2.codes import PREFACE
from gateway.wire.h2.frames import frame
from loadtest.peers.server import Server
from loadtest.stage import HOST
from oracles.attack import PING_MARK, Attack
from oracles.reading import messages, streams
from oracles.seen import Seen
from oracles.upstream import ScriptedUpstream

QUIET = 0.15
"""Seconds without a byte on either side, after which what was answered is all."""
SILENT = 1.3
"""The same where no answer is whole yet. Some peers wait a second before they end a connection."""
LONGEST = 6.0
"""Seconds of one attack."""
PIECE = 1 << 16
_MARK = frame(PING_MARK.kind, PING_MARK.flags, PING_MARK.ident, PING_MARK.payload)


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # each peer has an authority of its own
    context.set_alpn_protocols(["h2"])
    return context


CONTEXT = _context()


async def attacked(attack: Attack, server: Server, upstream: ScriptedUpstream, silent: float) -> Seen:
    """One attack on one proxy. ``silent``: as `SILENT`. OSError when it does not accept the connection."""
    upstream.begin(attack)
    call = _Call(attack, upstream, silent)
    try:
        await asyncio.wait_for(call.held(server), LONGEST)
    except TimeoutError:
        pass
    finally:
        call.close()
        call.seen.taken = upstream.taken
        call.seen.reached = upstream.end()
    return call.seen


class _Call:
    def __init__(self, attack: Attack, upstream: ScriptedUpstream, silent: float) -> None:
        self._attack, self._upstream, self._silent = attack, upstream, silent
        self.seen = Seen()
        self._writer: asyncio.StreamWriter | None = None

    def close(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()

    async def held(self, server: Server) -> None:
        secure = self._attack.caller == "h2"
        port = server.ports["https" if secure else "http"]
        reader, self._writer = await asyncio.open_connection(HOST, port, ssl=CONTEXT if secure else None)
        sending = asyncio.ensure_future(self._send())
        try:
            if not self._attack.taken:
                await self._read(reader, sending)
            else:
                await sending
                await self._watch()
        finally:
            sending.cancel()

    async def _send(self) -> None:
        assert self._writer is not None
        sent = self._attack.sent
        if self._attack.caller == "h2":
            sent = PREFACE + sent + _MARK
        with suppress(ConnectionError):
            for at in range(0, len(sent), PIECE):
                self._writer.write(sent[at : at + PIECE])
                await self._writer.drain()

    async def _read(self, reader: asyncio.StreamReader, sending: asyncio.Future[None]) -> None:
        """Until the proxy ends the connection, or nothing more comes to either side."""
        loop = asyncio.get_running_loop()
        last = loop.time()
        while True:
            try:
                data = await asyncio.wait_for(reader.read(PIECE), QUIET)
            except TimeoutError:
                quiet = loop.time() - max(last, self._upstream.last)
                if sending.done() and quiet >= QUIET and (quiet >= self._silent or self._answered()):
                    return
                continue
            except (ConnectionError, ssl.SSLError):
                self.seen.ended = "reset"
                return
            if not data:
                self.seen.ended = "eof"
                return
            last = loop.time()
            self.seen.came += data
            if sending.done() and self._refused():
                return

    def _answered(self) -> bool:
        if self._attack.caller == "h1":
            found = messages(bytes(self.seen.came), responses=True)
            return bool(found) and found[-1].status >= 200 and found[-1].whole
        seen = streams(bytes(self.seen.came))
        return seen.marked and bool(seen.statuses or seen.resets or seen.goaway is not None)

    def _refused(self) -> bool:
        """On a connection of HTTP/2 that goes on, while nothing has reached the upstream: no more will."""
        small = self._attack.caller == "h2" and len(self.seen.came) < PIECE
        return small and not self._upstream.reached and self._answered()

    async def _watch(self) -> None:
        """Nothing is read; until the proxy takes no more of the reply."""
        before = -1
        while before != self._upstream.taken or not before:
            before = self._upstream.taken
            await asyncio.sleep(self._silent)
