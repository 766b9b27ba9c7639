"""Key sets of token issuers (RFC 7517): fetched, kept while an issuer is away, and kept on a shelf across restarts."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import aiohttp

from gateway.config.networks import Destinations
from gateway.core.clock import Clock, monotonic
from gateway.grants.outbound import DeniedError, Outbound

_log = logging.getLogger(__name__)

_REFRESH_SECONDS: Final = 300.0
_RETRY_SECONDS: Final = 15.0
_FETCH_SECONDS: Final = 3.0
_ASKED_SECONDS: Final = 15.0
"""Least time from a fetch to one that a missing key triggers: the name of the key comes from a token that is not
verified."""
_MAX_BYTES: Final = 1 << 20


class Shelf(Protocol):
    """Stores key sets across restarts. The keys in memory work without it."""

    async def load(self) -> Mapping[str, str]:
        """The key sets by their address, as `usable` gave them."""
        ...

    async def save(self, sets: Mapping[str, str]) -> bool:
        """Keep these beside the others; False when that failed and should be tried again."""
        ...


class NoShelf:
    """Stores nothing: key sets end with the process."""

    async def load(self) -> Mapping[str, str]:
        return {}

    async def save(self, sets: Mapping[str, str]) -> bool:
        return True


def shared_key_set(secret: str) -> str:
    """The key set of an issuer that shares ``secret`` with us."""
    from joserfc.jwk import OctKey  # takes memory that a gateway without issuers does not need

    return json.dumps({"keys": [OctKey.import_key(secret).as_dict(private=True)]})


class JwksCache:
    """`get` returns a known set at once; an old one is fetched first, once for all concurrent callers.

    ``destinations``: the addresses that may be dialled, as they are now.
    """

    def __init__(self, clock: Clock = monotonic, destinations: Callable[[], Destinations] = Destinations) -> None:
        self._clock = clock
        self._sets: dict[str, str] = {}
        self._fetched_at: dict[str, float] = {}
        self._fresh_until: dict[str, float] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._outbound = Outbound(_FETCH_SECONDS, destinations)

    async def get(self, url: str) -> str:
        """The key set as JSON text; the last good one when it cannot be had now, "" when none is known."""
        async with self._locks.setdefault(url, asyncio.Lock()):
            if self._clock() >= self._fresh_until.get(url, -1.0):
                await self._refresh(url)
        return self.known(url)

    def known(self, url: str) -> str:
        """The known key set, without a fetch; "" for none."""
        return self._sets.get(url, "")

    def restore(self, sets: Mapping[str, str]) -> None:
        """Know these from before a restart, until they are fetched. What cannot be used is left out."""
        for url, text in sets.items():
            try:
                self._sets.setdefault(url, usable(text, url))
            except _UNUSABLE as error:
                _log.warning("the kept keys of %s cannot be used (%s)", url, type(error).__name__)

    def want(self, url: str) -> None:
        """A token named a key that is not in this set: fetch it at the next `get` that its pause allows."""
        at = self._fetched_at.get(url, self._clock() - _ASKED_SECONDS) + _ASKED_SECONDS
        self._fresh_until[url] = min(self._fresh_until.get(url, at), at)

    def is_due(self, url: str) -> bool:
        """Whether the next `get` fetches."""
        return self._clock() >= self._fresh_until.get(url, -1.0)

    async def aclose(self) -> None:
        await self._outbound.aclose()

    async def _refresh(self, url: str) -> None:
        try:
            self._sets[url] = await self._fetch(url)
            pause = _REFRESH_SECONDS
        except (aiohttp.ClientError, TimeoutError, OSError, *_UNUSABLE) as error:
            what = error.strerror if isinstance(error, DeniedError) else type(error).__name__
            _log.warning("the keys of %s could not be fetched (%s); the last ones stay", url, what)
            pause = _RETRY_SECONDS
        self._fetched_at[url] = self._clock()
        self._fresh_until[url] = self._fetched_at[url] + pause

    async def _fetch(self, url: str) -> str:
        async with self._outbound.exchange("GET", url) as response:
            response.raise_for_status()
            if response.status != 200:
                raise ValueError(f"status {response.status}")
            text = await response.content.read(_MAX_BYTES + 1)
            while len(text) <= _MAX_BYTES and (more := await response.content.read(_MAX_BYTES)):
                text += more
        if len(text) > _MAX_BYTES:
            raise ValueError("the key set is too large")
        return usable(text, url)


_UNUSABLE: Final = (ValueError, TypeError, LookupError, RecursionError)


def usable(text: str | bytes, url: str) -> str:
    """The public keys in a published set; ``url`` names it in the log. Raises one of `_UNUSABLE`."""
    given = json.loads(text)["keys"]
    keys = [key for key in map(_public, given) if key is not None]
    if given and not keys:
        raise ValueError("none of the keys can be used")
    if len(keys) < len(given):
        _log.warning("%d of the keys of %s cannot be used and are left out", len(given) - len(keys), url)
    return json.dumps({"keys": keys})


def _public(given: object) -> dict[str, object] | None:
    """The public part of a key; None for one to be omitted.

    That is one that cannot be read (RFC 7517 5 has it ignored and the others used), and a shared one: in a published
    set it would let anybody sign.
    """
    if not isinstance(given, dict) or given.get("kty") not in ("RSA", "EC", "OKP"):
        return None
    from joserfc.jwk import JWKRegistry

    try:
        return dict(JWKRegistry.import_key(given).as_dict(private=False))
    except Exception:  # of many types, depending on the fault; one bad key must not make the good ones unusable
        return None
