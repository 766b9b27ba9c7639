"""The REST API on a real socket, over a real database, with a stand-in for the data plane."""

from __future__ import annotations

import asyncio
import copy
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import aiohttp
import argon2
import pytest

from gateway.admin.live import Applied
from gateway.admin.password import PasswordHasher
from gateway.admin.service import Administration
from gateway.admin.snapshot import LiveSnapshot, ProxySnapshot
from gateway.admin.throttle import LoginThrottle, Rate
from gateway.api.server import AdminListener
from gateway.config import load
from gateway.config.named_calls import NamedCalls
from gateway.config.networks import Destinations
from gateway.config.schema.mcp import Mcp
from gateway.config.schema.proxy import Proxy
from gateway.config.schema.settings import Settings
from gateway.config.schema.upstream import Upstream
from gateway.core.address import Address
from gateway.grants.authorizer import Authorizer
from gateway.grants.broker import Broker
from gateway.grants.endpoint import TokenEndpoint
from gateway.grants.provider import Provider
from gateway.identity.tokens import digest, mint
from gateway.ipc.calls import ActionSummary, Asked, Called, ConnectionSummary, Piece
from gateway.ipc.channel import ChannelError
from gateway.ipc.messages import ProxyState, Refusals
from gateway.ipc.tokens import AccessToken
from gateway.store import schema
from gateway.store.keys import KeyRing
from gateway.store.store import Store

ON_ASYNCIO = {"test_listener.py"}
"""Files whose tests run on the event loop of the control process."""


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]] | None:
    return {"asyncio": asyncio.new_event_loop} if item.path.name in ON_ASYNCIO else None


EMAIL, PASSWORD = "root@example.org", "correct horse battery"
IDLE: ProxyState = {
    "in_flight": 0,
    "waiting": 0,
    "streams": 3,
    "breaker": "closed",
    "connections_open": 0,
    "connections_idle": 0,
}


BOUNDS = [0.01, 0.1, 1.0]


def snapshot_of(**known: object) -> ProxySnapshot:
    """A proxy that has done nothing, but for what is ``known`` of it."""
    made: dict[str, object] = dict.fromkeys(ProxySnapshot.__annotations__, 0)
    made |= {"latency": {"bounds": BOUNDS, "counts": [0] * (len(BOUNDS) + 1)}, "breaker": "closed"}
    return cast(ProxySnapshot, made | {"breaker_history": []} | known)


GITHUB: ConnectionSummary = {
    "trn": "trn:openact:default:connection/http/github@v1",
    "name": "github",
    "connector": "http",
    "base_url": "https://api.github.test",
    "auth": "bearer",
    "merge": "layered",
    "upstream": "connection/github",
    "description": "",
    "actions": ["get-user"],
}
GET_USER: ActionSummary = {
    "trn": "trn:openact:default:action/http/get-user@v1",
    "name": "get-user",
    "connector": "http",
    "connection": GITHUB["trn"],
    "method": "GET",
    "path": "/users/{login}",
    "description": "",
    "input_schema": {"type": "object"},
    "explained_as": "action/get-user",
    "seconds": 60.0,
    "pagination": None,
    "allowed": True,
}


def responding(asked: Asked) -> Called:
    """The end of a call whose upstream has responded."""
    return {
        "action": GET_USER["trn"],
        "request_id": asked.request_id,
        "failure": None,
        "planned": None,
        "status": 200,
        "headers": [("Content-Type", "application/json")],
        "body": b"{}",
        "attempts": 1,
        "seconds": 0.25,
    }


@dataclass
class Plane:
    """Stands for the data plane: counts what it is told."""

    applies: int = 0
    error: str = ""
    breakers: set[str] = field(default_factory=set)
    resets: list[tuple[str, str]] = field(default_factory=list)
    explanations: dict[str, Mapping[str, object]] = field(default_factory=dict)
    requests: dict[str, Mapping[str, object]] = field(default_factory=dict)
    states: dict[str, ProxyState] = field(default_factory=dict)
    snapshots: int = 0
    reachable: bool = True
    proxies: dict[str, ProxySnapshot] = field(default_factory=dict)
    refused: list[Mapping[str, object]] = field(default_factory=list)
    processes: list[dict[str, object]] = field(default_factory=list)
    restarts: int = 0
    called: list[Asked] = field(default_factory=list)
    ending: Callable[[Asked], Called] | None = responding
    """How calls end; None: never."""
    given_up: int = 0
    pieces: int = 0
    following: list[Piece] = field(default_factory=list)
    """What comes behind the first part of a long body."""
    left: list[str] = field(default_factory=list)

    async def connections(self, tenant: str) -> list[ConnectionSummary]:
        if not self.reachable:
            raise ChannelError("the worker is away")
        return [GITHUB] if tenant == "default" else []

    async def actions(self, tenant: str) -> list[ActionSummary]:
        if not self.reachable:
            raise ChannelError("the worker is away")
        return [GET_USER] if tenant == "default" else []

    async def call(self, asked: Asked) -> Called:
        self.called.append(asked)
        if self.ending is not None:
            return self.ending(asked)
        try:
            await asyncio.Event().wait()
        finally:
            self.given_up += 1
        raise AssertionError

    async def piece(self, rest: str) -> Piece:
        """Behind those of ``following`` none comes: the third party stalls."""
        if self.following:
            return self.following.pop(0)
        self.pieces += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.given_up += 1
        raise AssertionError

    async def leave(self, rest: str) -> None:
        self.left.append(rest)

    async def supply(self, tokens: Mapping[str, AccessToken]) -> None:
        self.tokens = tokens

    async def state(self) -> Mapping[str, ProxyState]:
        if not self.reachable:
            raise ChannelError("the worker does not answer")
        return self.states

    async def apply(self) -> Applied:
        self.applies += 1
        return self.applied()

    def applied(self) -> Applied:
        return Applied(self.applies, self.error)

    async def reset_breaker(self, name: str, by: str) -> bool:
        if not self.reachable:
            raise ChannelError("the worker does not answer")
        self.resets.append((name, by))
        return name in self.breakers

    async def metrics(self, *, open_metrics: bool) -> str:
        return "# EOF\n" if open_metrics else "up 1\n"

    async def explain(self, name: str) -> Mapping[str, object] | None:
        if not self.reachable:
            raise ChannelError("the worker does not answer")
        return self.explanations.get(name)

    async def find(self, request_id: str) -> Mapping[str, object] | None:
        if not self.reachable:
            raise ChannelError("the worker does not answer")
        return self.requests.get(request_id)

    async def snapshot(self) -> LiveSnapshot:
        self.snapshots += 1
        proxies = copy.deepcopy(self.proxies) if self.reachable else {}
        return {"at": time.time(), "reachable": self.reachable, "generation": self.applies, "proxies": proxies}

    async def workers(self) -> dict[str, object]:
        return {"items": self.processes, "max_memory_bytes": 1 << 30}

    async def restart_workers(self) -> int:
        self.restarts += 1
        return len(self.processes)

    async def upgrade(self) -> tuple[str, int]:
        return "9.9.9", len(self.processes)

    async def refusals(self, since: int) -> Refusals:
        return {"next": len(self.refused), "items": self.refused[since:] if since else self.refused[-50:]}

    def live(self) -> Mapping[str, object]:
        return {"status": "healthy", "version": "1"}

    def ready(self) -> tuple[bool, Mapping[str, object]]:
        return not self.error, {"generation": self.applies}


@dataclass
class File:
    """Stands for the configuration file."""

    declared: tuple[Mapping[str, object], ...] = ()
    upstreams: tuple[Mapping[str, object], ...] = ()
    connections: Mapping[str, object] = field(default_factory=dict)
    actions: Mapping[str, object] = field(default_factory=dict)
    front_doors: tuple[Mapping[str, object], ...] = ()
    name: str = "gateway.yaml"
    env: Mapping[str, str] = field(default_factory=lambda: {"SET": "x", "UNLISTED": "x", "GATEWAY_X": "x"})
    template_env: tuple[str, ...] = ("SET", "UNSET")
    destinations: Destinations = field(default_factory=lambda: Destinations(own=[("127.0.0.1", 8081)]))

    @property
    def _settings(self) -> Settings:
        written = {"database": "sqlite:///x.db", "upstreams": self.upstreams, "proxies": self.declared}
        written |= {"connections": self.connections, "actions": self.actions}
        written["mcp"] = self.front_doors
        return load.settings_in(json.dumps(written), "json", self.name, self.env)

    @property
    def called(self) -> NamedCalls:
        return self._settings.named_calls()

    def proxies(self) -> tuple[Proxy, ...]:
        return self._settings.protected_proxies()

    def doors(self) -> tuple[Mcp, ...]:
        return self._settings.mcp

    def urls(self, proxy: Proxy) -> list[str]:
        return self._settings.urls(proxy)

    def shared_upstreams(self) -> tuple[Upstream, ...]:
        return self._settings.upstreams


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@dataclass
class Answer:
    status: int
    body: Any
    headers: Mapping[str, str]


class Api:
    """A superuser's client, and what stands behind the API."""

    def __init__(self, base: str, session: aiohttp.ClientSession, store: Store, plane: Plane, file: File) -> None:
        self.base = base
        self.session = session
        self.store = store
        self.plane = plane
        self.file = file
        self.administration: Administration
        self.clock = Clock()
        self.token = ""
        self.texts: list[str] = []
        """Everything that was ever answered."""

    async def call(
        self, method: str, path: str, body: object = None, *, token: str | None = None, **headers: str
    ) -> Answer:
        shown = self.token if token is None else token
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if shown:
            given["Authorization"] = f"Bearer {shown}"
        return await self.send(method, f"/api/gateway{path}", body, given)

    async def send(self, method: str, path: str, body: object, headers: Mapping[str, str]) -> Answer:
        """A request to a path from the root on, as it is."""
        async with self.session.request(method, f"{self.base}{path}", json=body, headers=headers) as answer:
            text = await answer.text()
            self.texts.append(text)
            parsed = await answer.json(content_type=None) if text else None
            return Answer(answer.status, parsed, answer.headers)

    async def make_token(self, *, superuser: bool = False, expires_at: float = 0.0) -> str:
        token = mint()
        await self.store.tokens.create("t", digest(token), "token", superuser, None, expires_at, {}, "test")
        return token


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    url = f"sqlite:///{tmp_path}/gateway.db"
    await schema.upgrade(url)
    store = await Store.open(url, KeyRing.of("11" * 32))
    passwords = PasswordHasher(argon2.PasswordHasher.from_parameters(argon2.profiles.CHEAPEST))
    await store.superusers.create(EMAIL, await passwords.hash(PASSWORD), "test")
    plane, file = Plane(), File()
    async with aiohttp.ClientSession() as session:
        made = Api("", session, store, plane, file)
        throttle = LoginThrottle(made.clock, per_client=Rate(3, 60.0))
        provider = Provider(TokenEndpoint())
        broker = Broker(store.grants, provider.next_tokens, plane.supply)
        authorizer = Authorizer(broker, provider, store.grants, store.authorizations, store.tokens)
        administration = Administration(
            store,
            file,
            plane,
            plane,
            plane,
            passwords=passwords,
            broker=broker,
            authorizer=authorizer,
            throttle=throttle,
            clock=made.clock,
            session_ttl=600,
        )
        made.administration = administration
        listener = AdminListener(administration, plane, Address("127.0.0.1", 0))
        await listener.start()
        made.base = listener.url
        made.token = await made.make_token(superuser=True)
        yield made
        await listener.aclose()
        await broker.aclose()
        await provider.aclose()
    await passwords.aclose()
    await store.aclose()
