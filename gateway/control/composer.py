"""What the data plane gets, made from the settings of the file and the records of the database; no I/O and no log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.admin.precedence import shadowed
from gateway.config import header_template, installation
from gateway.config.errors import ConfigError
from gateway.config.records import Credentials, Document, JwtIssuer, TokenRecord
from gateway.config.schema.settings import Settings
from gateway.control.options import Options
from gateway.store.accounts import Token
from gateway.store.proxies import StoredProxy
from gateway.store.remarks import remarks
from gateway.store.repository import usable


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
    """Composes by the options of the command line. ``env`` serves the templates of headers."""

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
        document = installation.named(self._options.overrides.apply(document), self._options.config)
        return Composition(document, unusable, warnings)


def credentials(tokens: Mapping[str, Token], issuers: tuple[JwtIssuer, ...]) -> Credentials:
    """What callers of proxies may prove who they are with. ``tokens``: by digest."""
    records = {
        digest: TokenRecord(token.id, token.name, token.kind, token.superuser, token.expires_at, token.claims)
        for digest, token in tokens.items()
        if token.scope is None  # a token for the control plane alone proves nothing to a proxy
    }
    return Credentials(records, issuers)
