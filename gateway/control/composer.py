"""What the data plane gets, made from the settings of the file and the records of the database; no I/O and no log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.admin.precedence import shadowed
from gateway.config import header, installation, single
from gateway.config.document import Credentials, Document, JwtIssuer, TokenRecord
from gateway.config.problem import ConfigError
from gateway.config.schema.proxy import Proxy
from gateway.config.schema.settings import Settings
from gateway.control.declared import declared_proxies
from gateway.control.options import Options
from gateway.store.accounts import Token
from gateway.store.proxies import StoredProxy
from gateway.store.remarks import remarks


@dataclass(frozen=True, slots=True)
class StoredRecords:
    """What was read from the database last."""

    proxies: Sequence[StoredProxy] = ()
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    bound: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """The origins of the secrets that are bound to some."""
    tokens: Mapping[str, Token] = field(default_factory=dict)
    """By digest."""
    read: bool = True
    """False: nothing was read yet, because the database is away."""


@dataclass(frozen=True, slots=True)
class Composition:
    """``document`` is for the data plane; the rest is for the operator."""

    document: Document
    unusable: Mapping[str, str]
    """Why proxies of the database are left out, by name."""
    warnings: frozenset[str]
    """What is wrong with proxies that are served all the same."""


class Composer:
    """Composes by the options of the command line. ``env`` serves the templates of headers.

    It remembers each version of a proxy that it has checked, because that is most of the work of a change.
    """

    def __init__(self, options: Options, env: Mapping[str, str]) -> None:
        self._options = options
        self._env = env
        self._checked: dict[tuple[str, int], Proxy] = {}

    def compose(self, settings: Settings, stored: StoredRecords) -> Composition:
        """``settings``: the file. Raises `ConfigError` when both together cannot be served."""
        hidden = shadowed(declared_proxies(settings), [proxy.settings for proxy in stored.proxies])
        candidates = [proxy for proxy in stored.proxies if proxy.name not in hidden]
        usable, unusable = self._check(candidates)
        self._forget_all_but(stored.proxies)
        served = [proxy for proxy in candidates if proxy.name not in unusable]
        # While the database is away no secret is known to be missing: it may be there when the database is back.
        keys = stored.secrets if stored.read else header.AnySecret()
        warnings = frozenset(remarks(settings, served, keys, stored.bound))
        document = settings.record(self._env, stored.secrets, usable, stored.bound)
        document = installation.named(self._options.overrides.apply(document), self._options.config)
        return Composition(document, unusable, warnings)

    def _check(self, candidates: Sequence[StoredProxy]) -> tuple[list[Proxy], dict[str, str]]:
        """Those that can be served, and by name why the others cannot."""
        usable: list[Proxy] = []
        unusable: dict[str, str] = {}
        for proxy in candidates:
            try:
                usable.append(self._proxy(proxy))
            except ConfigError as error:
                unusable[proxy.name] = str(error)
        return usable, unusable

    def _proxy(self, proxy: StoredProxy) -> Proxy:
        key = proxy.id, proxy.version
        if key not in self._checked:
            self._checked[key] = single.stored(proxy.settings, name=f"proxy {proxy.name} of the database")
        return self._checked[key]

    def _forget_all_but(self, proxies: Sequence[StoredProxy]) -> None:
        keys = ((proxy.id, proxy.version) for proxy in proxies)
        self._checked = {key: self._checked[key] for key in keys if key in self._checked}


def credentials(tokens: Mapping[str, Token], issuers: tuple[JwtIssuer, ...]) -> Credentials:
    """What callers of proxies may prove who they are with. ``tokens``: by digest."""
    records = {
        digest: TokenRecord(token.id, token.name, token.kind, token.superuser, token.expires_at, token.claims)
        for digest, token in tokens.items()
        if token.scope is None  # a token for the control plane alone proves nothing to a proxy
    }
    return Credentials(records, issuers)
