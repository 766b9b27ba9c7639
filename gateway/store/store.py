"""The store: one database and what is in it."""

from __future__ import annotations

from typing import Self

from sqlalchemy import select

from gateway.store import schema
from gateway.store.accounts import SuperuserRepository, TokenRepository
from gateway.store.audit import AuditTrail, By
from gateway.store.authorizations import AuthorizationRepository
from gateway.store.calls import ActionRepository, ConnectionRepository
from gateway.store.database import Database
from gateway.store.drains import DrainRepository
from gateway.store.grants import GrantRepository
from gateway.store.key_sets import KeySetRepository
from gateway.store.keys import KeyRing
from gateway.store.proxies import ProxyRepository
from gateway.store.secrets import SecretRepository
from gateway.store.tables import REVISION


class Store:
    """Get one by `open`. Every method of its parts raises `StoreUnavailable` when the database cannot be reached."""

    def __init__(self, database: Database, keys: KeyRing) -> None:
        self._database = database
        self.keys = keys
        self.proxies = ProxyRepository(database)
        self.superusers = SuperuserRepository(database)
        self.tokens = TokenRepository(database)
        self.secrets = SecretRepository(database, keys)
        self.actions = ActionRepository(database, keys)
        self.connections = ConnectionRepository(database, keys, self.actions)
        self.audit = AuditTrail(database)
        self.key_sets = KeySetRepository(database)
        self.drains = DrainRepository(database)
        self.grants = GrantRepository(database, keys)
        self.authorizations = AuthorizationRepository(database, keys)

    @classmethod
    async def open(cls, url: str, keys: KeyRing) -> Self:
        """Raises `SchemaBehind`, `SchemaNewer`, `StoreUnavailable`."""
        database = Database(url)
        try:
            schema.check(await schema.revision_of(database))
        except BaseException:
            await database.aclose()
            raise
        return cls(database, keys)

    @classmethod
    def barred(cls, url: str, keys: KeyRing) -> Self:
        """One that was not opened: everything raises `StoreUnavailable` until `admit`."""
        database = Database(url)
        database.barred = "the database could not be reached since the gateway was started"
        return cls(database, keys)

    async def admit(self) -> None:
        """Open what `barred` made. Raises `SchemaBehind`, `SchemaNewer`, `StoreUnavailable`, changing nothing."""
        other = await type(self).open(self._database.url, self.keys)
        await other.aclose()
        self._database.barred = ""

    async def aclose(self) -> None:
        await self._database.aclose()

    async def rekey(self, actor: By) -> int:
        """Encrypt all secrets with the current key; return how many rows had an older one. Raises `KeyProblem`."""
        return sum([await each.rekey(actor) for each in (self.secrets, self.connections, self.actions)]) + (
            await self.grants.rekey()
        )

    async def revision(self) -> int:
        """Grows with every change of anything."""
        async with self._database.reading() as connection:
            return int((await connection.execute(select(REVISION.c.value))).scalar_one())
