"""Grants in the memory of one process: of a gateway without a database, and of a command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from gateway.core.grant import IssuedTokens, StoredGrant


class MemoryGrants:
    """A `gateway.grants.broker.GrantStore`. What it holds ends with the process."""

    def __init__(self) -> None:
        self._grants: dict[str, StoredGrant] = {}

    async def read(self, connection: str) -> StoredGrant | None:
        return self._grants.get(connection)

    async def versions(self) -> Mapping[str, tuple[int, str]]:
        return {name: (each.version, each.error) for name, each in self._grants.items()}

    async def lease(self, connection: str, binding: str, holder: str, version: int, now: float, until: float) -> bool:
        found = self._grants.get(connection, StoredGrant(connection, binding))
        if found.version != version:
            return False
        if found.binding != binding:
            found = StoredGrant(connection, binding, version=version)
        elif found.holder not in ("", holder) and now < found.leased_until:
            return False
        self._grants[connection] = replace(found, holder=holder, leased_until=until)
        return True

    async def settle(self, connection: str, binding: str, version: int, tokens: IssuedTokens) -> bool:
        found = self._grants.get(connection)
        if found is None or (found.version, found.binding) != (version, binding):
            return False
        self._grants[connection] = StoredGrant(
            connection,
            binding,
            tokens.access,
            tokens.refresh or found.refresh,
            tokens.issued,
            tokens.expires,
            version + 1,
            author=found.author,
        )
        return True

    async def release(self, connection: str, holder: str, version: int, error: str) -> None:
        found = self._grants.get(connection)
        if found is not None and (found.holder, found.version) == (holder, version):
            self._grants[connection] = replace(found, holder="", error=error)
