"""The trusted issuers of JSON Web Tokens with their keys: kept current for the verifier of the tokens."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from gateway.config.networks import Destinations
from gateway.config.records import JwtIssuer
from gateway.config.schema.auth import Jwt
from gateway.control.jwks import JwksCache, NoShelf, Shelf, shared_key_set

_POLL_SECONDS = 0.2
PATIENCE: Final = 1.0
"""Seconds for which new keys wait to be on the shelf, before they are used all the same."""


class Issuers:
    """Known keys stay valid while an issuer is unreachable, and across restarts: they are on ``shelf``.

    ``destinations``: as `JwksCache` takes them.
    """

    def __init__(
        self,
        shelf: Shelf | None = None,
        cache: JwksCache | None = None,
        destinations: Callable[[], Destinations] = Destinations,
    ) -> None:
        self._cache = cache or JwksCache(destinations=destinations)
        self._shelf = shelf or NoShelf()
        self._shelved: dict[str, str] = {}
        self._restored = False

    async def restore(self) -> None:
        """Load the keys from the shelf; no effect once it was read."""
        if not self._restored:
            self._shelved = dict(await self._shelf.load())
            self._cache.restore(self._shelved)
            self._restored = True

    def of(self, trusted: Sequence[Jwt]) -> tuple[JwtIssuer, ...]:
        """The issuers with their known keys; ``keys`` is "" where none are known."""
        return tuple(self._issuer(jwt) for jwt in trusted)

    def want(self, urls: Iterable[str]) -> None:
        """Tokens named keys that these sets do not have."""
        for url in urls:
            self._cache.want(url)

    async def follow(
        self,
        trusted: Callable[[], Sequence[Jwt]],
        wanted: Callable[[], Iterable[str]],
        changed: Callable[[], Awaitable[None]],
    ) -> None:
        """Fetch the keys that are due until cancelled, and call ``changed`` when the known keys change.

        ``wanted`` gives the addresses for `want`. An issuer that is slow delays no other one.
        """
        while True:
            urls = {jwt.jwks_url for jwt in trusted() if jwt.jwks_url}
            self.want(url for url in wanted() if url in urls)
            due = [url for url in urls if self._cache.is_due(url)]
            fetching = [asyncio.ensure_future(self._fetch(url)) for url in due]
            try:
                for fetched in asyncio.as_completed(fetching):
                    if await fetched:
                        # First: a process that dies in between would not know keys again that callers use already.
                        with contextlib.suppress(TimeoutError):
                            async with asyncio.timeout(PATIENCE):
                                await self._shelve(urls)
                        await changed()
            finally:
                for task in fetching:
                    task.cancel()
            if due:
                await self._shelve(urls)
            await asyncio.sleep(_POLL_SECONDS)

    async def aclose(self) -> None:
        await self._cache.aclose()

    async def _fetch(self, url: str) -> bool:
        before = self._cache.known(url)
        return await self._cache.get(url) != before

    async def _shelve(self, urls: Iterable[str]) -> None:
        known = {url: self._cache.known(url) for url in urls}
        news = {url: keys for url, keys in known.items() if keys and keys != self._shelved.get(url)}
        if news and await self._shelf.save(news):
            self._shelved |= news

    def _issuer(self, jwt: Jwt) -> JwtIssuer:
        url = jwt.jwks_url or ""
        keys = shared_key_set(jwt.secret) if jwt.secret is not None else self._cache.known(url)
        return JwtIssuer(jwt.issuer, jwt.audience, jwt.algorithms, keys, jwt.id_claim, url)
