"""What an opaque token of the gateway looks like, and the one parser of the field that carries credentials."""

from __future__ import annotations

import re

TOKEN_PREFIX = "bwt_"  # noqa: S105 - not a token: what every token begins with

# RFC 6750 2.1, RFC 9110 11.4: credentials = auth-scheme 1*SP token68
_BEARER = re.compile(rb"bearer +([A-Za-z0-9\-._~+/]+=*) *", re.IGNORECASE)
_OWN = re.compile(rb"bearer[ \t]+" + TOKEN_PREFIX.encode(), re.IGNORECASE)


def bearer(authorization: bytes) -> bytes:
    """The token in the value of Authorization; empty when it is no single Bearer token."""
    match = _BEARER.fullmatch(authorization)
    return b"" if match is None else match[1]


def holds_own_token(authorization: bytes) -> bool:
    """Whether the value of Authorization holds a token of the gateway, valid or not.

    Wider than `bearer`: what could only be meant for the gateway goes to no upstream, however it is written.
    """
    return _OWN.search(authorization) is not None
