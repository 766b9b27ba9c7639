"""The whole configuration file."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from gateway.config import calls, header_template, named_calls, records, values
from gateway.config.certificate_files import Sources
from gateway.config.expiry import Expiring, expiring
from gateway.config.named_calls import NamedCalls
from gateway.config.networks import Destinations
from gateway.config.schema.actions import Action
from gateway.config.schema.auth import Auth
from gateway.config.schema.connections import Connection, Name, VersionedName
from gateway.config.schema.connector import ConnectorAction, ConnectorConnection
from gateway.config.schema.connectors import AnyAction, AnyConnection, Connectors, with_kinds
from gateway.config.schema.governance import Governance
from gateway.config.schema.limits import Limits
from gateway.config.schema.listeners import Admin, Listener, as_listener, listed
from gateway.config.schema.mcp import Mcp
from gateway.config.schema.observability import AccessLog, Tracing
from gateway.config.schema.proxy import Proxy
from gateway.config.schema.records import record_of
from gateway.config.schema.section import Section
from gateway.config.schema.tls import Tls
from gateway.config.schema.types import DAY, Bytes, Listed, Network, Seconds, Variable
from gateway.config.schema.upstream import Upstream, named
from gateway.config.schema.upstream_tls import UpstreamTls
from gateway.core.address import Address
from gateway.launch import MOST_WORKERS

_DOCUMENT = records.Document()
_DEFAULT_LISTENERS = tuple(Listener(address=str(listener.address)) for listener in _DOCUMENT.listen)


def _one_or_many(schema: dict[str, Any]) -> None:
    """The schema of a list whose entries may be texts too; a single entry may replace the list."""
    entry: list[object] = [{"type": "string"}, schema.pop("items")]
    many = {"type": schema.pop("type"), "minItems": 1, "items": {"anyOf": entry}}
    schema["anyOf"] = [*entry, many]


class UpstreamNetworks(Section):
    """Addresses to which the gateway connects, or does not, for an upstream: also when a name resolves to them."""

    deny: Listed[Network] = Field(default=(), examples=[["10.0.0.0/8"]])
    """Addresses or networks (CIDR) besides the built-in ones: `169.254.0.0/16` and `fe80::/10` (link-local, where
    clouds serve credentials), `fd00:ec2::254`. The gateway's own listeners, the admin listener included, are always
    denied."""
    allow: Listed[Network] = Field(default=(), examples=[["169.254.170.2"]])
    """Addresses or networks that are not denied, whatever `deny` and the built-in list say. It opens none of the
    gateway's own listeners."""


class Settings(Section):
    """The configuration of the gateway. Times are seconds, sizes bytes."""

    listen: Annotated[tuple[Annotated[Listener, BeforeValidator(as_listener)], ...], BeforeValidator(listed)] = Field(
        default=_DEFAULT_LISTENERS, json_schema_extra=_one_or_many, examples=[["127.0.0.1:8080", "[::1]:8080"]]
    )
    """Where to accept connections: one address or a list of them."""
    admin: Admin | None = Field(default=None)
    """The control plane's own listener: REST API for superusers, health. It needs a `database`. `null`: none."""
    database: Annotated[str, AfterValidator(values.database_url)] | None = Field(
        default=None, repr=False, validate_default=True, examples=["sqlite:///gateway.db"]
    )
    """Where proxies, superusers, tokens and secrets are stored: `sqlite:///FILE` (relative to the working directory;
    `sqlite:////FILE` from the root) or `postgresql://USER@HOST/NAME`. `null`: the file is the whole configuration."""
    template_env: Listed[Variable] = Field(default=(), validate_default=True, examples=[["UPSTREAM_REGION"]])
    """Names of the environment variables that header templates of the database's proxies may name as `{env.NAME}`.
    Proxies of the file may name every variable. No template may name `GATEWAY_*`. It needs a `database`."""
    worker_env: Listed[Variable] = Field(default=(), validate_default=True, examples=[["GRPC_DNS_RESOLVER"]])
    """Names of further environment variables that worker processes keep. They start with `PATH`, `TZ`, `LANG`, `LC_*`,
    `PYTHON*`, `LD_*`, `MALLOC_*`, `SSL_CERT_*`, `*_proxy`, `*_PROXY`, `OTEL_*`, `NOTIFY_*` and `AIOHTTP_*` alone. A
    change replaces the workers, one after the other; values are those that the gateway was started with. It needs a
    `database`: without one there is no worker process."""
    auth: Auth = Field(default=Auth())
    """How callers authenticate."""
    workers: int = Field(default=1, ge=0, le=MOST_WORKERS, examples=[2])
    """How many worker processes serve traffic; `0`: one for each core that this process may use. Limits, queues and
    breakers are those of all workers together. Read at start. More than one needs a `database`."""
    worker_max_memory: Bytes = Field(default=0, ge=0, examples=[536870912])
    """Resident memory (RSS) of a worker process above which it is replaced, as by `gateway restart`, when it stays
    there for 5 seconds. Write at least twice what a fresh process has. `0`: no limit. It needs a `database`: without
    one there is no worker process."""
    tracing: Tracing | None = Field(default=None)
    """Spans of sampled requests, over OTLP/HTTP; needs the `otel` extra: `pip install 'breakwater-gateway[otel]'`.
    `null`: none."""
    access_log: AccessLog | None = Field(default=AccessLog())
    """The access log; `null`: none."""
    trusted_proxies: Listed[Network] = Field(default=_DOCUMENT.trusted_proxies, examples=[["10.0.0.0/8", "192.0.2.7"]])
    """Addresses or networks (CIDR) whose `X-Forwarded-*` fields are trusted."""
    upstream_networks: UpstreamNetworks = Field(default=UpstreamNetworks())
    """Which addresses upstreams may have. A proxy with a denied address is rejected when it is saved; a dial to one
    ends as 502 `upstream_denied`. The rule applies to the address that is dialled, so a forward proxy of the
    environment may be anywhere."""
    via: Annotated[str, AfterValidator(values.pseudonym)] | None = Field(default=None, examples=["edge-1"])
    """The name of this gateway in the header field `Via`. A request that already has it went in a circle, and gets 508
    `loop_detected`. `null`: made of the machine, the path of this file and `listen` as they are at the start, so
    that it is unique, and stays over restarts. A change replaces the workers, one after the other; without a
    `database` it takes effect at the next start."""
    drain_timeout: Seconds = Field(default=_DOCUMENT.drain_timeout, ge=0, le=DAY, examples=[60])
    """Seconds to finish running requests on SIGTERM; what runs longer is cut."""
    limits: Limits = Field(default=Limits())
    """Bounds of what clients and upstreams may send, and of how long clients may take."""
    upstreams: Listed[Upstream] = Field(default=())
    """Back ends that several proxies of this file can name, to share their limits, breakers and connections."""
    connectors: Connectors = Field(default=Connectors())
    """Connections and actions, grouped by connector: another way to write `connections` and `actions`."""
    connections: dict[Name, AnyConnection] = Field(
        default={}, examples=[{"shop": {"base_url": "https://api.example.org"}}]
    )
    """Third parties that are called by name: where they are, and how to authenticate there. A proxy shares the limits,
    breaker and connections of one by `upstream: connection/NAME`."""
    actions: dict[VersionedName, AnyAction] = Field(
        default={}, examples=[{"find-order": {"connection": "shop", "path": "/orders/{id}"}}]
    )
    """Calls of connections that have a name. `NAME@v2` is another version, beside the one of `NAME`, which is 1. Who
    names no version gets the newest one that is switched on."""
    governance: Governance = Field(default=Governance())
    """Which actions may be called at all, and how many at once."""
    mcp: Listed[Mcp] = Field(default=())
    """Front doors where clients of the Model Context Protocol (MCP) list actions as tools, and call them."""
    proxies: Listed[Proxy] = Field(default=())
    """The proxies."""
    _inserted: Mapping[tuple[str, str], Collection[str]] = PrivateAttr({})

    @model_validator(mode="before")
    @classmethod
    def _actions_of_a_kind(cls, data: object) -> object:
        """An action is of the kind of its connection, which need not be written again."""
        return with_kinds(data) if isinstance(data, dict) else data

    @field_validator("database", mode="after")
    @classmethod
    def _where_superusers_are(cls, database: str | None, info: ValidationInfo) -> str | None:
        if database is None and info.data.get("admin") is not None:
            raise ValueError("the admin listener needs a database for its superusers; set sqlite:///gateway.db")
        return database

    @field_validator("auth", mode="after")
    @classmethod
    def _one_place_for_keys(cls, auth: Auth, info: ValidationInfo) -> Auth:
        if auth.keys_file is not None and info.data.get("database") is not None:
            raise ValueError("the database keeps the keys of issuers, so keys_file has no effect; remove keys_file")
        return auth

    @field_validator("worker_env", "worker_max_memory", mode="after")
    @classmethod
    def _workers_there(cls, value: tuple[str, ...] | int, info: ValidationInfo) -> tuple[str, ...] | int:
        if value and info.data.get("database", "") is None:
            raise ValueError("without a database there is no worker process, so this has no effect; remove this key")
        return value

    @field_validator("workers", mode="after")
    @classmethod
    def _supervised(cls, workers: int, info: ValidationInfo) -> int:
        if workers != 1 and info.data.get("database", "") is None:
            raise ValueError(
                "without a database the gateway is one process; set database: sqlite:///gateway.db or write 1"
            )
        return workers

    @field_validator("proxies", mode="after")
    @classmethod
    def _tunnels_over_http_1_1(cls, proxies: tuple[Proxy, ...], info: ValidationInfo) -> tuple[Proxy, ...]:
        always = {upstream.name for upstream in info.data.get("upstreams", ()) if upstream.http2 == "always"}
        connections = info.data.get("connections", {}) | info.data.get("connectors", Connectors()).http.connections
        always |= {
            each.shared_name(name)
            for name, each in connections.items()
            if isinstance(each, Connection) and each.http2 == "always"
        }
        for proxy in proxies:
            if proxy.websocket and always.intersection(proxy.named_upstreams()):
                raise ValueError(
                    f"proxy {proxy.name} relays WebSockets, which go over HTTP/1.1, and its upstream has http2: "
                    "always; write auto or never there"
                )
        return proxies

    @field_validator("template_env", mode="after")
    @classmethod
    def _records_there(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if names and info.data.get("database", "") is None:
            raise ValueError("without a database there is no proxy that this is for; remove this key")
        return names

    @field_validator("connectors", "connections", mode="after")
    @classmethod
    def _grants_there(cls, value: Any, info: ValidationInfo) -> Any:
        groups = [group.connections for _, group in value.groups()] if isinstance(value, Connectors) else [value]
        database, admin = info.data.get("database", ""), info.data.get("admin", "")
        for name, each in ((name, each) for group in groups for name, each in group.items()):
            if isinstance(each, Connection) and (why := each.unmet(database=database, admin=admin)):
                raise ValueError(f"connection {name}: {why}")
        return value

    def every_connection(self) -> dict[str, Connection | ConnectorConnection]:
        """Those of both forms, by name."""
        groups = (group.connections for _, group in self.connectors.groups())
        return self.connections | {name: each for connections in groups for name, each in connections.items()}

    def every_action(self) -> dict[str, Action | ConnectorAction]:
        """Those of both forms, by name."""
        return self.actions | {
            name: each for _, group in self.connectors.groups() for name, each in group.actions.items()
        }

    def named_calls(self) -> NamedCalls:
        """The connections and actions of both forms."""
        return named_calls.declared(self.every_connection(), self.every_action(), self._inserted)

    def remember(self, inserted: Mapping[tuple[str, str], Collection[str]]) -> None:
        """What variables have put into connections and actions is shown nowhere: see `Substitution.inserted`."""
        self._inserted = {place: tuple(sorted(values)) for place, values in inserted.items() if values}

    def every_upstream(self) -> tuple[Upstream, ...]:
        """What proxies can name: the entries of `upstreams`, and the connections."""
        return (*self.upstreams, *self.named_calls().upstreams)

    def destinations(self, listen: Iterable[Address] | None = None) -> Destinations:
        """The addresses that upstreams may have. ``listen``: where the gateway listens instead of `listen`."""
        if listen is None:
            listen = (values.address(listener.address) for listener in self.listen)
        own = [*listen, *self._own()]
        networks = record_of(records.UpstreamNetworks, self.upstream_networks)
        return Destinations(networks, ((address.host, address.port) for address in own))

    def record(
        self,
        env: Mapping[str, str],
        secrets: Mapping[str, str],
        more: Sequence[Proxy] = (),
        bound: Mapping[str, Container[str]] = MappingProxyType({}),
        called: NamedCalls | None = None,
    ) -> records.Document:
        """The snapshot document: the proxies of the file and ``more``, with variables and secrets inserted.

        ``more`` are the proxies of the database: they read the variables in `template_env` alone. ``bound``: the
        origins of secrets that are bound to some; a proxy with another upstream does not get such a secret.
        ``called``: the connections and actions of file and database; None: those of the file.
        """
        called = self.named_calls() if called is None else called
        own, listed = header_template.readable(env), header_template.readable(env, self.template_env)
        everything = (*self.proxies, *more)
        routes = (
            *(self._route(proxy, own, secrets, bound, called) for proxy in self.proxies),
            *(self._route(proxy, listed, secrets, bound, called) for proxy in more),
            *(door.route() for door in self.mcp),
        )
        tunnelled = {name for route in routes if route.websocket for name in route.upstreams()}
        upstreams = (
            *(upstream.record() for upstream in (*self.upstreams, *called.upstreams)),
            *(self._own_upstream(proxy) for proxy in everything if not proxy.names_upstream),
            *(second for proxy in everything if (second := proxy.fallback_upstream()) is not None),
            *(door.upstream() for door in self.mcp),
        )
        connections, actions = called.records()
        return record_of(
            records.Document,
            self,
            listen=tuple(listener.record() for listener in self.listen),
            access_log=self.access_log.path if self.access_log else None,
            own_listeners=self._own(),
            via=self.via or "",
            routes=routes,
            calls=tuple(calls.routes(connections, actions)),
            upstreams=tuple(
                # A WebSocket begins with an Upgrade, which HTTP/2 does not have.
                dataclasses.replace(upstream, http2="never") if upstream.name in tunnelled else upstream
                for upstream in upstreams
            ),
            connections=connections,
            actions=actions,
            governance=self.governance.record(),
        )

    def sources(self) -> Sources:
        """The files of certificates that it was read from."""
        found = (tls for tls in self._tls() if tls is not None)
        return {path: digest for tls in found for part in tls.sources() for path, digest in part.items()}

    def certificates(self) -> list[Expiring]:
        """Those of the listeners, and those that are shown to upstreams."""
        admin = self.admin
        return expiring(
            (listener.record() for listener in self.listen if listener.tls is not None),
            (
                *(upstream.record() for upstream in self.every_upstream() if upstream.tls is not None),
                *(self._own_upstream(proxy) for proxy in self.proxies if proxy.tls is not None),
            ),
            () if admin is None else admin.records(),
        )

    @property
    def serves_without_database(self) -> bool:
        """Whether there is something to serve while the database is away."""
        return bool(self.proxies or self.mcp)

    def _own(self) -> tuple[Address, ...]:
        """The addresses besides `listen`."""
        return () if self.admin is None else self.admin.network_address

    def _tls(self) -> Iterator[Tls | UpstreamTls | None]:
        yield None if self.admin is None else self.admin.tls
        yield from (listener.tls for listener in self.listen)
        yield from (upstream.tls for upstream in self.every_upstream())
        yield from (proxy.tls for proxy in self.proxies)

    def _own_upstream(self, proxy: Proxy) -> records.Upstream:
        return proxy.own_upstream(self._upstream_of(proxy))

    def protected_proxies(self) -> tuple[Proxy, ...]:
        """The proxies, each with the protections of the upstream that it names, so that one sees what it has."""
        protections = {upstream.name: upstream.protections() for upstream in self.every_upstream()}
        return tuple(
            proxy.model_copy(update=protections.get(proxy.upstream, {})) if proxy.names_upstream else proxy
            for proxy in self.proxies
        )

    def urls(self, proxy: Proxy, called: NamedCalls | None = None) -> list[str]:
        """Where requests of ``proxy`` go: its own URL, or those of the upstream that it names; and its fallback's.

        ``called``: as of `record`.
        """
        names = proxy.named_upstreams()
        others = self.named_calls() if called is None else called
        entries = (upstream for upstream in (*self.upstreams, *others.upstreams) if upstream.name in names)
        return [*proxy.own_urls(), *(endpoint.url for upstream in entries for endpoint in upstream.endpoints)]

    @staticmethod
    def _upstream_of(proxy: Proxy) -> str:
        """The name that the record of its upstream has."""
        return named(proxy.upstream) if proxy.names_upstream else proxy.name

    def _route(
        self,
        proxy: Proxy,
        env: Mapping[str, str],
        secrets: Mapping[str, str],
        bound: Mapping[str, Container[str]],
        called: NamedCalls,
    ) -> records.Route:
        """With those of ``secrets`` that may be sent wherever its requests go."""
        if bound:
            there = [values.origin(url) for url in self.urls(proxy, called)]
            secrets = {k: v for k, v in secrets.items() if k not in bound or all(o in bound[k] for o in there)}
        return proxy.route(self._upstream_of(proxy), env, secrets)
