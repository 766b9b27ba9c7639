"""The part of a document that the control process keeps: where the access tokens of connections come from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from gateway.config import values
from gateway.config.actions import INTERACTIVE_KINDS, AuthKind, Connection, OAuth
from gateway.config.calls import name_of
from gateway.config.records import Document


@dataclass(frozen=True, slots=True)
class Grant:
    """How one connection gets its tokens. ``connection``: its TRN, ``label``: the name that log and metrics have."""

    connection: str
    label: str
    kind: AuthKind
    oauth: OAuth = field(repr=False)
    audience: str
    """The origin to which the token is sent."""

    @property
    def interactive(self) -> bool:
        """Whether a person has to agree."""
        return self.kind in INTERACTIVE_KINDS

    @property
    def binding(self) -> str:
        """A digest of what a token was given for: client, provider, and where it is sent. What is stored for another
        one is not used, so that no change of the configuration sends a token, or a refresh token, elsewhere."""
        oauth = self.oauth
        client = oauth.client_id or f"{oauth.issuer} {oauth.subject}"
        parts = [self.kind, oauth.token_url, client, " ".join(sorted(oauth.scopes)), self.audience]
        if oauth.revoke_url and (at := _origin(oauth.revoke_url)) != _origin(oauth.token_url):
            parts.append(at)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _origin(url: str) -> str:
    return values.origin(url.partition("?")[0])


def grants_of(connections: Iterable[Connection]) -> dict[str, Grant]:
    """By TRN, those of connections that need tokens."""
    found = {}
    for each in connections:
        if each.auth.oauth is not None:
            parts = urlsplit(each.base_url)
            origin = f"{parts.scheme}://{parts.netloc.lower()}"
            found[each.trn] = Grant(each.trn, name_of(each), each.auth.kind, each.auth.oauth, origin)
    return found


def without_grants(document: Document) -> Document:
    """``document`` as workers get it: no client secret and no key of theirs can be read out of one."""
    if not any(each.auth.oauth is not None for each in document.connections):
        return document
    connections = tuple(
        each if each.auth.oauth is None else replace(each, auth=replace(each.auth, oauth=None))
        for each in document.connections
    )
    return replace(document, connections=connections)
