"""Gets the next access token of a connection: once, however many calls, workers and processes want it.

Within a process those who want the same token wait for the same flight, which none of them can cancel. Between
processes a lease in the store says whose flight it is; no lock and no transaction is held while the provider is asked.
The result is written only over the version that the flight began with. A provider that refuses a refresh token may
only have seen it twice, so the store is read again before that is believed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, Protocol

from gateway.config.grants import Grant
from gateway.core.clock import Clock
from gateway.core.grant import IssuedTokens, StoredGrant
from gateway.errors import NOT_AUTHORIZED, TOKEN_UNAVAILABLE
from gateway.grants.errors import GrantError, NotAuthorizedError, ProviderAwayError, ProviderRefusedError
from gateway.grants.standing import LOOK_AGAIN_SECONDS, check_authorized, empty, ended, first, holds, known
from gateway.ipc.tokens import AccessToken, Lack, Wanted
from gateway.store.errors import StoreError

_log = logging.getLogger("gateway")

LEASE_SECONDS: Final = 15.0
"""Longer than a provider is waited for, so that no second process asks while the first one still may get a response."""
FORCED_SECONDS: Final = 30.0
"""A token of this age that a third party refuses is not replaced: the next one would be refused too."""
_LOOK_SECONDS: Final = 0.05
"""Pause before a process looks whether another one has the token."""
FOLLOW_SECONDS: Final = 2.0
"""Between looks for what other processes have changed."""
_AWAY_SECONDS: Final = 1.0
_REFUSED_SECONDS: Final = 30.0
"""A refusal that a change of the configuration ends is asked about again after so long."""
_END_SECONDS: Final = 3.0
_NOTHING: Final = (-1, "")
"""The version and the error of a grant that the store does not have."""
OUTCOMES: Final = ("renewed", "adopted", "refused", "unavailable")
"""How a flight ends: with a token of its own, with one that another process got, or without one."""

Push = Callable[[Mapping[str, AccessToken]], Awaitable[None]]
Fetch = Callable[[Grant, StoredGrant, float], Awaitable[IssuedTokens]]
Sleep = Callable[[float], Awaitable[None]]


class Timer(Protocol):
    def cancel(self) -> None: ...


Later = Callable[[float, Callable[[], None]], Timer]
"""As `asyncio.loop.call_later`."""


class GrantStore(Protocol):
    """Where grants are: in a database that processes share, or in memory. Methods as `gateway.store.grants` has them;
    they may raise `StoreError`."""

    async def read(self, connection: str) -> StoredGrant | None: ...

    async def versions(self) -> Mapping[str, tuple[int, str]]: ...

    async def lease(
        self, connection: str, binding: str, holder: str, version: int, now: float, until: float
    ) -> bool: ...

    async def settle(self, connection: str, binding: str, version: int, tokens: IssuedTokens) -> bool: ...

    async def release(self, connection: str, holder: str, version: int, error: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Pace:
    """Times of a broker, in seconds."""

    lease: float = LEASE_SECONDS
    forced: float = FORCED_SECONDS
    follow: float = FOLLOW_SECONDS


class Broker:
    """``fetch`` asks the provider. ``push`` gives workers all tokens. ``clock``: seconds of the epoch."""

    def __init__(
        self,
        store: GrantStore,
        fetch: Fetch,
        push: Push,
        *,
        clock: Clock = time.time,
        sleep: Sleep = asyncio.sleep,
        later: Later | None = None,
        pace: Pace = Pace(),
    ) -> None:
        self._store = store
        self._fetch = fetch
        self._push = push
        self._clock = clock
        self._sleep = sleep
        self._later = later
        self._pace = pace
        self._holder = f"{os.getpid()}-{secrets.token_hex(8)}"
        self._grants: Mapping[str, Grant] = {}
        self._tokens: dict[str, AccessToken] = {}
        self._seen: dict[str, tuple[int, str]] = {}
        self._flights: dict[str, asyncio.Task[None]] = {}
        self._timers: dict[str, Timer] = {}
        self._pushing = asyncio.Lock()
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """Flights, by the label of the connection and one of `OUTCOMES`."""

    # -- which connections there are

    async def serve(self, grants: Mapping[str, Grant]) -> None:
        """As `configure`; the workers know it before they get what else is new, so that no token goes astray."""
        if grants != self._grants:
            self.configure(grants)
            await self._give()

    def configure(self, grants: Mapping[str, Grant]) -> None:
        """Serve these. What is known of one whose provider, client or destination has changed is forgotten."""
        before, self._grants = self._grants, grants
        for name in {*before, *grants}:
            old, new = before.get(name), grants.get(name)
            if old == new:
                continue
            self._cancel_timer(name)
            self._seen.pop(name, None)
            kept = self._tokens.pop(name, None)
            if new is not None:
                same = old is not None and old.binding == new.binding and kept is not None
                self._tokens[name] = replace(kept, failure="", lack="", until=0.0) if same and kept else first(new)

    @property
    def grants(self) -> Mapping[str, Grant]:
        """By TRN."""
        return self._grants

    def token(self, connection: str) -> AccessToken:
        """What is known now. Raises KeyError for a connection without tokens."""
        return self._tokens[connection]

    async def follow(self) -> None:
        """Look for what other processes have changed, until cancelled."""
        while True:
            if self._grants:
                await self.refresh()
            await self._sleep(self._pace.follow)

    async def refresh(self) -> None:
        """Read what has changed in the store, and give it to the workers."""
        try:
            versions = await self._store.versions()
            changed = [name for name in self._grants if versions.get(name, _NOTHING) != self._seen.get(name)]
            for name in changed:
                if name not in self._flights:
                    self._adopt(self._grants[name], await self._store.read(name))
                    self._seen[name] = versions.get(name, _NOTHING)
        except (StoreError, OSError):
            return  # the loop that follows the database says so
        if changed:
            await self._give()

    # -- who wants a token

    def want(self, wanted: Iterable[Wanted]) -> None:
        """Calls need these. Nothing happens where one is on its way, or asking makes no sense yet."""
        now = self._clock()
        for name, refused in wanted:
            token = self._tokens.get(name)
            if token is None or name in self._flights or now < token.until:
                continue
            if token.fresh(now) if not refused else refused < token.version:
                continue  # the workers have it already
            self._begin(name, refused)

    async def get(self, connection: str, refused: int = 0) -> AccessToken:
        """What is known once the flight that is needed for it is over; a caller that is cancelled does not cancel it.
        Raises KeyError as `token`."""
        self.want([(connection, refused)])
        flight = self._flights.get(connection)
        if flight is not None:
            await asyncio.shield(flight)
        return self._tokens[connection]

    async def reset(self, connection: str) -> None:
        """A person has agreed, or has revoked: read it again, and give it to the workers."""
        flight = self._flights.get(connection)
        if flight is not None:
            await asyncio.shield(flight)
        self._seen.pop(connection, None)
        if connection in self._grants:
            self._tokens[connection] = first(self._grants[connection])
            await self.refresh()

    async def aclose(self) -> None:
        """Let flights end for a moment: a response that comes now may be the only one of its refresh token."""
        for name in [*self._timers]:
            self._cancel_timer(name)
        if self._flights:
            await asyncio.wait(self._flights.values(), timeout=_END_SECONDS)
        for flight in [*self._flights.values()]:
            flight.cancel()
        await asyncio.gather(*self._flights.values(), return_exceptions=True)

    # -- a flight

    def _begin(self, name: str, refused: int) -> None:
        self._cancel_timer(name)
        flight = asyncio.get_running_loop().create_task(self._fly(name, refused), name=f"get the token of {name}")
        self._flights[name] = flight
        flight.add_done_callback(lambda _: self._flights.pop(name, None))

    async def _fly(self, name: str, refused: int) -> None:
        grant, before = self._grants[name], self._tokens[name]
        outcome = "unavailable"
        try:
            stored, own = await self._renewed(grant, refused)
            outcome = "renewed" if own else "adopted"
            self._adopt(grant, stored)
            self._seen[name] = stored.version, stored.error
        except NotAuthorizedError as error:
            outcome = "refused"
            until = self._clock() + LOOK_AGAIN_SECONDS
            self._fail(grant, error, lack=error.lack, reason=NOT_AUTHORIZED.code, until=until)
        except ProviderRefusedError as error:
            outcome = "refused"
            until = self._clock() + _REFUSED_SECONDS
            self._fail(grant, error, lack="misconfigured", reason=NOT_AUTHORIZED.code, until=until)
        except ProviderAwayError as error:
            self._away(grant, before, error, error.wait)
        except (StoreError, OSError) as error:
            self._away(grant, before, GrantError(f"the database is away ({type(error).__name__})"), 0.0)
        except Exception as error:
            # A fault of the gateway. Calls get their 503 at once instead of waiting for a flight that has ended.
            fault = GrantError(f"no token because of a fault in the gateway ({type(error).__name__}); see its log")
            if str(fault) != before.details:
                _log.exception("connection %s: the token could not be got", grant.label)
            self._away(grant, before, fault, 0.0)
        self.outcomes[grant.label, outcome] += 1
        await self._give()

    async def _renewed(self, grant: Grant, refused: int) -> tuple[StoredGrant, bool]:
        """The grant with a token that can be used, and whether it was got here."""
        name, store = grant.connection, self._store
        while True:
            row = await store.read(name)
            version = 0 if row is None else row.version
            bound = row if row is not None and row.binding == grant.binding else empty(grant, version)
            now = self._clock()
            forced = 0 < refused == bound.version and now - bound.issued >= self._pace.forced
            if bound.fresh(now) and not forced:
                return bound, False
            if grant.interactive:
                check_authorized(grant, bound)
                if not bound.refresh:
                    if forced or not holds(bound, now):
                        raise ended(grant)
                    return bound, False
            if await store.lease(name, grant.binding, self._holder, version, now, now + self._pace.lease):
                settled = await self._asked(grant, replace(bound, version=version))
                if settled is not None:
                    return settled, True
            else:
                await self._sleep(_LOOK_SECONDS)

    async def _asked(self, grant: Grant, bound: StoredGrant) -> StoredGrant | None:
        """What the provider gives for the row that is leased; None: meanwhile it was changed elsewhere."""
        name, store, error = grant.connection, self._store, ""
        try:
            tokens = await self._fetch(grant, bound, self._clock())
            if not await store.settle(name, grant.binding, bound.version, tokens):
                return None
            kept = tokens.refresh or bound.refresh
            return replace(
                bound,
                access=tokens.access,
                refresh=kept,
                issued=tokens.issued,
                expires=tokens.expires,
                version=bound.version + 1,
                error="",
            )
        except ProviderRefusedError as refusal:
            newer = await store.read(name)
            if newer is not None and newer.version != bound.version:
                return None  # somebody else was faster, and this refresh token had been used
            if grant.interactive and refusal.ends_grant:
                error = refusal.error
            await store.release(name, self._holder, bound.version, error)
            check_authorized(grant, replace(bound, error=error))
            raise
        except BaseException:
            with contextlib.suppress(StoreError, OSError):
                await asyncio.shield(store.release(name, self._holder, bound.version, error))
            raise

    # -- what is known

    def _adopt(self, grant: Grant, stored: StoredGrant | None) -> None:
        """Know what the store has. While it was waited for, the connection may have got another destination, to which
        the token of ``grant`` must not go."""
        name, now = grant.connection, self._clock()
        current = self._grants.get(name)
        if current is None:
            return
        token, before = known(current, stored, now), self._tokens[name]
        if before.failure and not token.failure and token.live(now):
            _log.info("connection %s: it has a token again", grant.label)
        self._tokens[name] = token

    def _fail(self, grant: Grant, error: Exception, *, lack: Lack | Literal[""], reason: str, until: float) -> None:
        """Know why there is no next token. The last one goes on for as long as it holds."""
        name = grant.connection
        if self._grants.get(name) != grant:
            return  # it says nothing about what is configured now
        before = self._tokens[name]
        if str(error) != before.details:
            _log.error("connection %s: %s", grant.label, error)
        self._tokens[name] = replace(
            before, tried=self._clock(), lack=lack, failure=reason, details=str(error), until=until
        )

    def _away(self, grant: Grant, before: AccessToken, error: Exception, wait: float) -> None:
        """The provider cannot be asked. It is asked again by itself, so that all heals without a call."""
        wait = max(wait, _AWAY_SECONDS)
        lack: Lack | Literal[""] = "" if before.lack in ("not_authorized", "misconfigured") else before.lack
        self._fail(grant, error, lack=lack, reason=TOKEN_UNAVAILABLE.code, until=self._clock() + wait)
        name = grant.connection
        if self._grants.get(name) == grant:
            later = self._later or asyncio.get_running_loop().call_later
            self._timers[name] = later(wait, lambda: self.want([(name, 0)]))

    def _cancel_timer(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    async def _give(self) -> None:
        """Give workers all tokens. One after the other, so that no older view replaces a newer one."""
        async with self._pushing:
            await self._push(dict(self._tokens))
