"""The other end of a caller's connection, as access rules, logs and forwarding fields see it."""

from __future__ import annotations

from collections.abc import Callable

from gateway.core.address import bracketed
from gateway.core.client import addresses_of_forwarded, forwarded_client
from gateway.core.message import RequestHead


class Peer:
    """Facts of one connection; they hold for all its requests."""

    __slots__ = ("_trusts", "address", "host", "scheme", "trusted")

    def __init__(self, host: str, port: int, scheme: bytes, trusts: Callable[[str], bool]) -> None:
        """``trusts``: whether an address belongs to a proxy of ours, whose X-Forwarded-* fields are believed."""
        self._trusts = trusts
        self.address = f"{bracketed(host)}:{port}"
        self.host = host.encode()
        """The address without its port, as it stands in X-Forwarded-For."""
        self.scheme = scheme
        """``http`` or ``https``."""
        self.trusted = trusts(host)

    def real_client(self, request: RequestHead) -> str:
        """The address that X-Forwarded-For, else Forwarded, of a trusted peer names; else the peer's, with its port."""
        if not self.trusted:
            return self.address
        chain = request.known.get(b"x-forwarded-for")
        if chain is None:
            forwarded = request.known.get(b"forwarded")
            if forwarded is None:
                return self.address
            chain = addresses_of_forwarded(forwarded)
        return forwarded_client(chain, self._trusts) or self.address
