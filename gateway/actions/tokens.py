"""The access tokens that calls of this data plane use: taken from the control process, and asked for when they lack.

A call that has none waits for the control process, bounded by its own time. It never asks a provider itself: neither
secrets nor refresh tokens are here.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from math import ceil
from typing import Final

from gateway.core.clock import Clock
from gateway.core.message import RequestHead
from gateway.errors import REASONS, TOKEN_UNAVAILABLE, GatewayError
from gateway.ipc.tokens import AccessToken, TokenView, Wanted

UNAUTHORIZED: Final = 401
"""RFC 9110 15.5.2: the request lacks valid credentials, so that nothing was done with it."""
YOUNG_SECONDS: Final = 30.0
"""A token of this age that is refused with 401 is not replaced: the next one would be refused too."""
_ASK_AGAIN_SECONDS: Final = 1.0
"""After so long a call that waits asks again: the control process may have been replaced."""
_NONE: Final = AccessToken()


class Tokens:
    """Those of one data plane, by the TRN of their connection. ``epoch``: seconds of the epoch."""

    def __init__(self, epoch: Clock = time.time) -> None:
        self._epoch = epoch
        self._tokens: Mapping[str, AccessToken] = {}
        self._wanted: dict[str, int] = {}
        self._changes: dict[str, asyncio.Future[None]] = {}
        self._waiting: Counter[str] = Counter()
        self.on_wanted: Callable[[], None] | None = None
        """Called when a token is wanted; None: `take_wanted` is called often enough."""

    def adopt(self, tokens: Mapping[str, AccessToken]) -> None:
        """Use these from now on, and no others."""
        before, self._tokens = self._tokens, tokens
        for connection in [*self._changes]:
            if tokens.get(connection) != before.get(connection):
                self._changes.pop(connection).set_result(None)

    def take_wanted(self) -> tuple[Wanted, ...]:
        """Those that were wanted since the last call."""
        wanted, self._wanted = self._wanted, {}
        return tuple(wanted.items())

    def told(self, connection: str) -> TokenView:
        """How that of ``connection`` stands."""
        token, now = self._tokens.get(connection, _NONE), self._epoch()
        return {
            "status": token.status(now),
            "live": token.live(now),
            "version": token.version,
            "issued": token.issued,
            "expires": token.expires,
            "failure": token.failure,
            "details": token.details,
            "until": token.until,
            "waiting": self._waiting[connection],
        }

    async def current(self, connection: str) -> AccessToken:
        """A live token; waits for one. Raises `GatewayError` when there is none for the time being."""
        token, now = self._tokens.get(connection, _NONE), self._epoch()
        if token.live(now):
            if not token.fresh(now) and now >= token.until:
                self._want(connection, 0)  # early, so that no call has to wait for the next one
            return token
        if token.failure and now < token.until:
            raise self._lacking(token, now)
        token = await self._next(connection, 0)
        if token.live(now := self._epoch()):
            return token
        raise self._lacking(token, now)

    async def after(self, connection: str, refused: AccessToken) -> AccessToken | None:
        """The token that follows one that was refused with 401; None: there is none, and the 401 stands."""
        token = self._tokens.get(connection, _NONE)
        if token.version <= refused.version:
            now = self._epoch()
            if now - refused.issued < YOUNG_SECONDS or now < token.until:
                return None
            token = await self._next(connection, refused.version)
        return token if token.version > refused.version and token.live(self._epoch()) else None

    def _want(self, connection: str, refused: int) -> None:
        self._wanted[connection] = max(refused, self._wanted.get(connection, 0))
        if self.on_wanted is not None:
            self.on_wanted()

    async def _next(self, connection: str, refused: int) -> AccessToken:
        """What the control process says next about the token of ``connection``."""
        change = self._changes.get(connection)
        if change is None:
            change = self._changes[connection] = asyncio.get_running_loop().create_future()
        self._waiting[connection] += 1
        try:
            while not change.done():
                self._want(connection, refused)
                await asyncio.wait({change}, timeout=_ASK_AGAIN_SECONDS)
        finally:
            self._waiting[connection] -= 1
        return self._tokens.get(connection, _NONE)

    @staticmethod
    def _lacking(token: AccessToken, now: float) -> GatewayError:
        reason = REASONS.get(token.failure, TOKEN_UNAVAILABLE)
        wait = max(1, ceil(token.until - now)) if reason is TOKEN_UNAVAILABLE else 0
        return GatewayError(reason, token.details, retry_after=wait)


class CallToken:
    """The token of one call, of which each attempt may need another."""

    __slots__ = ("_connection", "_token", "_tokens", "waits")

    def __init__(self, tokens: Tokens, connection: str) -> None:
        self._tokens = tokens
        self._connection = connection
        self._token = _NONE
        self.waits = False
        """The call waits for a token."""

    async def head(self, head: RequestHead) -> RequestHead:
        """``head`` with a live token. Raises `GatewayError` when there is none."""
        self.waits = True
        self._token = await self._tokens.current(self._connection)
        self.waits = False
        return with_token(head, self._token.value)

    async def refused(self) -> bool:
        """Whether there is another token now that the third party has refused this one with 401."""
        self.waits = True
        found = await self._tokens.after(self._connection, self._token)
        self.waits = False
        return found is not None


def with_token(head: RequestHead, token: str) -> RequestHead:
    """``head`` with ``token`` in Authorization (RFC 6750 2.1), and nothing else there."""
    fields = [line for line in head.fields if line[: line.find(b":")].lower() != b"authorization"]
    fields.append(b"Authorization: Bearer " + token.encode("ascii"))
    return RequestHead(head.method, head.target, head.minor, fields, head.known, head.length, head.keep_alive)
