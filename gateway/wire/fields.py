"""What becomes of each field of a message: the tables and rules that do not depend on the protocol's notation.

The rule throughout: what two recipients could read in two ways is rejected. There is no lenient mode.
"""

from __future__ import annotations

from typing import Final

from gateway.core.forwarded import POISON, folded, is_claim
from gateway.errors import GatewayError, Reason

# What becomes of a field that the gateway knows: KEEP lets its line travel on untouched, SINGLE forbids a second one,
# CLAIM keeps the line apart: it travels on when the peer is trusted.
DROP: Final = 0
KEEP: Final = 1
SINGLE: Final = 2
CLAIM: Final = 4

# RFC 9110 7.6.1 names the hop-by-hop fields; Proxy-Authenticate and Proxy-Authorization concern this hop alone.
_HOP_BY_HOP: dict[bytes, int] = dict.fromkeys(
    [
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"transfer-encoding",
        b"upgrade",
    ],
    DROP,
)


REQUEST_FIELDS: dict[bytes, int] = {
    **_HOP_BY_HOP,
    b"authorization": KEEP,
    b"host": SINGLE,
    b"content-length": SINGLE | KEEP,
    b"expect": DROP,
    b"grpc-timeout": DROP,
    b"http2-settings": DROP,
    b"max-forwards": DROP,
    b"traceparent": KEEP,
    b"via": KEEP,
    b"x-request-id": DROP,
    b"x-forwarded-for": DROP,
    b"x-forwarded-host": DROP,
    b"x-forwarded-proto": DROP,
    b"x-forwarded-prefix": DROP,
    b"forwarded": DROP,
}
RESPONSE_FIELDS: dict[bytes, int] = {
    **_HOP_BY_HOP,
    b"content-length": SINGLE | KEEP,
    b"date": KEEP,
    b"x-request-id": DROP,
}

# RFC 9110 6.5.1: no framing, routing, authentication, request modifiers or content handling in trailers.
_NOT_IN_TRAILERS = frozenset(
    b"authorization cache-control connection content-encoding content-length content-range content-type cookie date "
    b"expect expires forwarded host keep-alive max-forwards proxy-authenticate proxy-authorization proxy-connection "
    b"range set-cookie te trailer transfer-encoding upgrade via www-authenticate x-request-id".split()
)

NOT_SERVED: Final = frozenset({b"CONNECT", b"TRACE"})
_MAX_LENGTH_DIGITS: Final = 18


def kind_of_stranger(name: bytes) -> int:
    """What becomes of a field of a request that is not in the table; ``name`` is lower-case."""
    plain = folded(name)
    if is_claim(plain):
        return CLAIM if name == plain else DROP
    # Another spelling of a field that the gateway decides: a CGI-style back end would take it for that field.
    if plain in POISON or (plain != name and plain in REQUEST_FIELDS):
        return DROP
    return KEEP


def passes_as_trailer(name: bytes) -> bool:
    """Whether a trailer field may travel on; ``name`` is lower-case."""
    plain = folded(name)
    # The sender is not known here: trailers are no trusted source of claims about how the request came.
    return plain not in _NOT_IN_TRAILERS and plain not in POISON and not is_claim(plain)


def content_length(value: bytes, bad: Reason) -> int:
    """Content-Length = 1*DIGIT (RFC 9110 8.6); lists of equal values are rejected too."""
    if not value.isdigit() or len(value) > _MAX_LENGTH_DIGITS:
        raise GatewayError(bad, "Content-Length is not one decimal number")
    return int(value)


def comparable_authority(authority: bytes, scheme: bytes) -> bytes:
    """``authority`` in the form in which two are compared: lower-case, without the default port of ``scheme``."""
    default = b":80" if scheme == b"http" else b":443"
    return authority.lower().removesuffix(b":").removesuffix(default)
