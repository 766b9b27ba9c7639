"""Composes the data plane's configuration from the file's settings and the database's records; no I/O, no log."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from gateway.admin.precedence import shadowed
from gateway.config import header_template, installation, values
from gateway.config.errors import ConfigError
from gateway.config.records import Credentials, Document, JwtIssuer, TokenRecord, Upstream
from gateway.config.schema.settings import Settings
from gateway.control.options import Options
from gateway.store.accounts import Token
from gateway.store.proxies import StoredProxy
from gateway.store.remarks import remarks
from gateway.store.repository import usable


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
    read: bool = True
    """False: nothing was read yet, because the database is unavailable."""


@dataclass(frozen=True, slots=True)
class Composition:
    """``document`` is for the data plane; the rest is for the operator."""

    document: Document
    unusable: Mapping[str, str]
    """Why proxies of the database are omitted, by name."""
    warnings: frozenset[str]
    """Problems of proxies that are served nevertheless."""


class Composer:
    """Composes with the options of the command line. ``env``: the variables for header templates."""

    def __init__(self, options: Options, env: Mapping[str, str]) -> None:
        self._options = options
        self._env = env

    def compose(self, settings: Settings, stored: StoredRecords) -> Composition:
        """``settings``: the file. Raises `ConfigError` when both together cannot be served."""
        hidden = shadowed(settings.proxies, usable(stored.proxies))
        candidates = [proxy for proxy in stored.proxies if proxy.name not in hidden]
        served = usable(candidates)
        unusable = {proxy.name: str(proxy.value) for proxy in candidates if isinstance(proxy.value, ConfigError)}
        # While the database is away no secret is known to be missing: it may be there when the database is back.
        keys = stored.secrets if stored.read else header_template.AnySecret()
        warnings = frozenset(remarks(settings, served, keys, stored.bound))
        document = settings.record(self._env, stored.secrets, served, stored.bound)
        document = _drained(self._options.overrides.apply(document), stored.drained)
        if not document.via:  # that of the start: all workers have it, also those that start after a change of `listen`
            document = replace(document, via=self._options.via)
        document = installation.named(document, self._options.config)
        return Composition(document, unusable, warnings)


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
