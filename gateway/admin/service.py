"""All operations of a superuser, without HTTP: the REST API and the command line are thin layers over it."""

from __future__ import annotations

import time
from collections.abc import Callable

from gateway.admin import pages, representations
from gateway.admin.action_records import ActionRecords
from gateway.admin.actions import ActionAdministration
from gateway.admin.actor import Actor
from gateway.admin.attempts import Attempts
from gateway.admin.authentication import Authentication
from gateway.admin.connection_records import ConnectionRecords
from gateway.admin.declared import Declared
from gateway.admin.endpoints import EndpointAdministration
from gateway.admin.explanations import Explanations
from gateway.admin.grants import GrantAdministration
from gateway.admin.live import Live
from gateway.admin.live_feed import LiveFeed
from gateway.admin.logins import LoginAdministration
from gateway.admin.password import PasswordHasher
from gateway.admin.proxies import ProxyAdministration
from gateway.admin.representations import Resource
from gateway.admin.rights import superusers_only
from gateway.admin.secrets import SecretAdministration
from gateway.admin.superusers import SuperuserAdministration
from gateway.admin.throttle import LoginThrottle
from gateway.admin.tokens import TokenAdministration
from gateway.admin.workers import WorkerAdministration
from gateway.grants.authorizer import Authorizer
from gateway.grants.broker import Broker
from gateway.ipc.calls import Calls
from gateway.ipc.messages import Inspection
from gateway.store.store import Store


class Administration:
    """Results are plain JSON. All methods raise `AdminError`, and `StoreError` when the database is away."""

    def __init__(
        self,
        store: Store,
        declared: Declared,
        live: Live,
        plane: Inspection,
        calls: Calls,
        *,
        passwords: PasswordHasher,
        session_ttl: float = 43200.0,
        broker: Broker | None = None,
        authorizer: Authorizer | None = None,
        throttle: LoginThrottle | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self.live_feed = LiveFeed(live)
        self.connection_records = ConnectionRecords(store, declared, live)
        self.action_records = ActionRecords(store, declared, live)
        self.actions = ActionAdministration(calls, self.connection_records, self.action_records)
        self.grants = GrantAdministration(self.actions, broker, authorizer)
        self.explanations = Explanations(live, plane)
        self.proxies = ProxyAdministration(store, declared, live, plane)
        self.endpoints = EndpointAdministration(store, declared, live, plane)
        self.secrets = SecretAdministration(store, self.proxies, live)
        attempts = Attempts(throttle or LoginThrottle())
        self.authentication = Authentication(store, clock)
        self.logins = LoginAdministration(store, live, passwords, attempts, session_ttl, clock)
        self.superusers = SuperuserAdministration(store, live, passwords, attempts)
        self.tokens = TokenAdministration(store, live, clock)
        self.workers = WorkerAdministration(store, live)

    async def audit(self, actor: Actor, page: int = 1, per_page: int = 50) -> Resource:
        """Entries of the audit trail, the newest first."""
        superusers_only(actor)
        pages.check(page, per_page)
        rows, total = await self._store.audit.list(page, per_page)
        return {"items": list(map(representations.audit_row, rows)), "page": page, "per_page": per_page, "total": total}
