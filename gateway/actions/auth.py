"""Puts the credentials of a connection into a merged request. They come last, so that no layer replaces them."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from dataclasses import replace
from typing import Final

from gateway.actions.fields import Layered
from gateway.actions.merge import AUTH, Merged
from gateway.actions.sigv4 import signed
from gateway.config.actions import Auth, Place

_FIXED: Final = frozenset(("none", "basic", "bearer"))
_SIGNED: Final = frozenset(("content-type",))
"""Fields that are signed besides Host and those of X-Amz: what is on the way may change others."""


def authenticated(auth: Auth, merged: Merged, host: str, now: float) -> Merged:
    """``merged`` with its credentials. ``host``: value of the field Host. ``now``: seconds of the epoch.

    Raises `gateway.actions.errors.InvalidCallError` for a credential that no field can carry.
    """
    match auth.kind:
        case "none":
            return merged
        case "api_key":
            return _with_key(auth, merged)
        case "basic":
            pair = b64encode(f"{auth.name}:{auth.secret}".encode()).decode()
            return merged.with_header("Authorization", f"Basic {pair}", AUTH)
        case "bearer":
            return merged.with_header("Authorization", f"Bearer {auth.secret}", AUTH)
        case "hmac":
            signature = hmac.new(auth.secret.encode(), merged.body, hashlib.sha256).hexdigest()
            return merged.with_header(auth.name, f"{auth.prefix}{signature}", AUTH)
    if auth.has_tokens:
        # In the place of the token, which each attempt gets (`gateway.actions.tokens`).
        return merged.with_header("Authorization", "Bearer", AUTH)
    return _with_signature(auth, merged, host, now)


def is_fixed(auth: Auth) -> bool:
    """Whether it adds the same header fields to all requests, and nothing else."""
    return auth.kind in _FIXED or (auth.kind == "api_key" and place_of(auth) == "header")


def place_of(auth: Auth) -> Place:
    """Where an API key goes: ``Authorization``, a name that begins with ``X-`` or has a ``-`` is a header field."""
    if auth.place != "auto":
        return auth.place
    name = auth.name.lower()
    return "header" if name == "authorization" or "-" in name else "query"


def _with_key(auth: Auth, merged: Merged) -> Merged:
    if place_of(auth) == "query":
        rest = tuple(each for each in merged.query if each.name != auth.name)
        return replace(merged, query=(*rest, Layered(auth.name, auth.secret, AUTH)))
    prefix = "Bearer " if auth.name.lower() == "authorization" and auth.place == "auto" else ""
    return merged.with_header(auth.name, f"{prefix}{auth.secret}", AUTH)


def _with_signature(auth: Auth, merged: Merged, host: str, now: float) -> Merged:
    headers = [
        (each.name, each.value)
        for each in merged.headers
        if each.name.lower() in _SIGNED or each.name.lower().startswith("x-amz-")
    ]
    query = [(each.name, each.value) for each in merged.query]
    found = signed(
        merged.method,
        host,
        merged.path,
        query,
        [field for field in headers if field[0].lower() not in ("x-amz-date", "x-amz-security-token")],
        merged.body,
        key=(auth.name, auth.secret),
        session=auth.session,
        region=auth.region,
        service=auth.service,
        now=now,
    )
    for name, value in found:
        merged = merged.with_header(name, value, AUTH)
    return merged
