"""The one list of header fields in which reverse proxies say to a back end how a request came, and from whom.

A back end believes these fields, so no untrusted peer may send them: the gateway takes them from every peer that is not
in ``trusted_proxies``. From a trusted one they travel on as they came, in their plain spelling alone. Names are
compared as CGI-style back ends read them (RFC 3875 4.1.18): case does not count, and neither does which character
stands between letters and digits, so that ``X_Real_IP`` is ``X-Real-IP``.
"""

from __future__ import annotations

from typing import Final

_KEPT: Final = b"abcdefghijklmnopqrstuvwxyz0123456789"
FOLD: Final = bytes(c if c in _KEPT else c + 32 if chr(c).isascii() and chr(c).isupper() else 0x2D for c in range(256))
"""A table for `bytes.translate`: lower-case letters and digits, and a hyphen for all else."""

PREFIXES: Final = (
    b"x-forwarded-",
    b"x-original-",
    b"x-client-cert",
    b"x-ssl-",
    b"ssl-client-",
    b"x-amzn-mtls-",
    b"x-envoy-original-",
)
"""Each stands for all names that begin so: X-Client-Cert, X-Client-Cert-Subject, X-Client-Certificate ..."""

NAMES: Final = frozenset(
    (
        b"forwarded",  # RFC 7239
        b"x-forwarded",
        b"client-cert",  # RFC 9440
        b"client-cert-chain",
        b"x-arr-clientcert",
        b"x-real-ip",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"true-client-ip",
        b"cf-connecting-ip",
        b"cf-connecting-ipv6",
        b"fastly-client-ip",
        b"x-envoy-external-address",
        b"x-rewrite-url",
        b"x-proxyuser-ip",
    )
)

POISON: Final = frozenset({b"proxy"})
"""No peer may send these: a CGI program reads ``Proxy`` as the variable HTTP_PROXY, and then connects through it."""


def folded(name: bytes) -> bytes:
    """``name`` as CGI-style back ends read it."""
    return name.translate(FOLD)


def is_claim(name: bytes) -> bool:
    """Whether ``name``, already `folded`, is of the list."""
    return name in NAMES or name.startswith(PREFIXES)
