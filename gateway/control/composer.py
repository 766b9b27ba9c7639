"""Composes the data plane's configuration from the file's settings and the database's records; no I/O, no log."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from gateway.admin.precedence import shadowed
from gateway.config import header_template, installation, named_calls, values
from gateway.config.errors import ConfigError
from gateway.config.grants import Grant, grants_of, without_grants
from gateway.config.named_calls import NamedCalls
from gateway.config.records import Credentials, Document, JwtIssuer, TokenRecord, Upstream
from gateway.config.schema.connections import SHARED
from gateway.config.schema.proxy import Proxy
from gateway.config.schema.settings import Settings
from gateway.control.options import Options
from gateway.store.accounts import Token
from gateway.store.calls import StoredAction, StoredConnection
from gateway.store.proxies import StoredProxy
from gateway.store.remarks import remarks
from gateway.store.repository import Record, usable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StoredRecords:
    """The last state that was read from the database."""

    proxies: Sequence[StoredProxy] = ()
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    bound: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """The origins of the secrets that are bound to some."""
    tokens: Mapping[str, Token] = field(default_factory=dict)
    """By digest."""
    drained: Collection[tuple[str, str]] = frozenset()
    """The endpoints that an operator has drained: the name of the upstream's record, and the origin."""
    connections: Sequence[StoredConnection] = ()
    actions: Sequence[StoredAction] = ()
    read: bool = True
    """False: nothing was read yet, because the database is unavailable."""


@dataclass(frozen=True, slots=True)
class Composition:
    """``document`` is for the data plane; the rest is for the operator."""

    document: Document
    unusable: Mapping[str, str]
    """Why proxies are omitted, and connections and actions of the database, by name or TRN."""
    warnings: frozenset[str]
    """Problems of proxies that are served nevertheless."""
    grants: Mapping[str, Grant] = field(default_factory=dict)
    """Where the tokens of connections come from, by TRN: what stays here of the configuration."""


class Composer:
    """Composes with the options of the command line. ``env``: the variables for header templates."""

    def __init__(self, options: Options, env: Mapping[str, str]) -> None:
        self._options = options
        self._env = env

    def compose(self, settings: Settings, stored: StoredRecords) -> Composition:
        """``settings``: the file. Raises `ConfigError` when both together cannot be served."""
        hidden = shadowed(settings.proxies, usable(stored.proxies), settings.mcp)
        candidates = [proxy for proxy in stored.proxies if proxy.name not in hidden]
        served = usable(candidates)
        unusable = {proxy.name: str(proxy.value) for proxy in candidates if isinstance(proxy.value, ConfigError)}
        # While the database is away no secret is known to be missing: it may be there when the database is back.
        keys = stored.secrets if stored.read else header_template.AnySecret()
        warnings = frozenset(remarks(settings, served, keys, stored.bound))
        called, lost = _called(settings, stored)
        dangling = dict(_dangling([*settings.proxies, *served], called, read=stored.read))
        unusable |= lost | dangling
        if dangling:
            kept = tuple(proxy for proxy in settings.proxies if proxy.name not in dangling)
            settings = settings.model_copy(update={"proxies": kept})
            served = [proxy for proxy in served if proxy.name not in dangling]
        document = settings.record(self._env, stored.secrets, served, stored.bound, called)
        document = _drained(self._options.overrides.apply(document), stored.drained)
        if not document.via:  # that of the start: all workers have it, also those that start after a change of `listen`
            document = replace(document, via=self._options.via)
        document = installation.named(document, self._options.config)
        return Composition(without_grants(document), unusable, warnings, grants_of(document.connections))


def _called(settings: Settings, stored: StoredRecords) -> tuple[NamedCalls, dict[str, str]]:
    """The connections and actions of file and database, and why some of the database are omitted."""
    file = settings.named_calls()
    own = {each.trn for each in file.connections} | {each.trn for each in file.actions}
    broken = _broken(stored.connections, own) | _broken(stored.actions, own)
    called, lost = named_calls.together(file, usable(stored.connections), usable(stored.actions))
    return called, broken | lost


def _broken(records: Iterable[Record[T]], hidden: Container[str]) -> dict[str, str]:
    """Why this version cannot use some of ``records``, without those of ``hidden`` names."""
    return {
        record.name: str(record.value)
        for record in records
        if isinstance(record.value, ConfigError) and record.name not in hidden
    }


def _dangling(proxies: Iterable[Proxy], called: NamedCalls, *, read: bool) -> Iterator[tuple[str, str]]:
    """The proxies that name a connection which is not there, or takes no requests, and why."""
    there = {each.shared_name for each in called.connections}
    for proxy in proxies:
        for name in sorted(proxy.named_upstreams()):
            if name.startswith(SHARED) and name not in there:
                why = "is neither in the file nor in the database" if read else "is not in the file, and the database"
                rest = "; create it, or change the proxy" if read else " was not read yet"
                yield proxy.name, f"proxy {proxy.name}: its upstream {name} {why}{rest}"
            elif name in called.without_requests:
                why = "is a connection that takes no HTTP requests; change the proxy, and write an action of it"
                yield proxy.name, f"proxy {proxy.name}: its upstream {name} {why}"


def _drained(document: Document, drained: Collection[tuple[str, str]]) -> Document:
    """``document`` without new requests for the endpoints of ``drained``; those that are not there are ignored."""
    names = {name for name, _ in drained}
    if not names:
        return document

    def without(upstream: Upstream) -> Upstream:
        endpoints = tuple(
            replace(each, drain=True) if (upstream.name, values.origin(each.url)) in drained else each
            for each in upstream.endpoints
        )
        return replace(upstream, endpoints=endpoints)

    upstreams = tuple(without(each) if each.name in names else each for each in document.upstreams)
    return replace(document, upstreams=upstreams)


def credentials(tokens: Mapping[str, Token], issuers: tuple[JwtIssuer, ...]) -> Credentials:
    """The credentials that callers of proxies may use. ``tokens``: by digest."""
    records = {
        digest: TokenRecord(token.id, token.name, token.kind, token.superuser, token.expires_at, token.claims)
        for digest, token in tokens.items()
        if token.scope is None  # a token for the control plane only is no credential for a proxy
    }
    return Credentials(records, issuers)
