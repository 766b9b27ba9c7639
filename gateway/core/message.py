"""Heads of HTTP messages, with the bytes of every field line as they stood on the wire."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from math import inf
from typing import Final

HTTP_2: Final = 2
"""As `RequestHead.minor`: the request came over HTTP/2, which has no minor versions."""
VERSIONS: Final = ("1.0", "1.1", "2")
"""By `RequestHead.minor`: what logs, metrics, traces and explanations say, on both sides. The words are those of
``network.protocol.version`` in the semantic conventions of OpenTelemetry."""


class RequestHead:
    """A request's head.

    ``fields`` are the field lines that travel on untouched (``b"Name: value"``, order, case and duplicates kept);
    ``known`` maps the lower-case names of the fields that the gateway reads or replaces to their values, repeated
    fields joined by a comma. ``target`` is always in origin-form (or ``*``): an absolute-form target has been taken
    apart by the parser. ``claims`` are lines of the list in `gateway.core.forwarded`, which travel on for a trusted
    peer alone. Connections share
    equal heads between exchanges: nothing may be changed, except for what the last three attributes remember.
    """

    __slots__ = (
        "claims",
        "fields",
        "keep_alive",
        "known",
        "length",
        "logged",
        "method",
        "minor",
        "rewritten",
        "routed",
        "target",
    )

    def __init__(
        self,
        method: bytes,
        target: bytes,
        minor: int,
        fields: list[bytes],
        known: dict[bytes, bytes],
        length: int,
        keep_alive: bool,
        claims: list[bytes] | None = None,
    ) -> None:
        self.method = method
        self.target = target
        self.minor = minor
        """Of the version 1.0 or 1.1 of HTTP; or `HTTP_2`."""
        self.fields = fields
        self.known = known
        self.length = length
        """Bytes of the body; 0: none; `CHUNKED`."""
        self.keep_alive = keep_alive
        self.claims = claims
        """None: there are none."""
        self.rewritten: tuple[object, OutgoingRequest] | None = None
        """What was made of it for the upstream, and by which rewrite; good for the next equal head."""
        self.routed: tuple[object, Callable[..., Coroutine[None, None, None]]] | None = None
        """The snapshot that chose its handler, and the handler."""
        self.logged = ""
        """What the access log says about it."""

    def having(self, known: dict[bytes, bytes]) -> RequestHead:
        """An equal head with other ``known`` fields, and nothing remembered."""
        return RequestHead(
            self.method, self.target, self.minor, self.fields, known, self.length, self.keep_alive, self.claims
        )


class OutgoingRequest:
    """A request as an endpoint is to get it, in no protocol's notation yet. Equal requests of a connection share it."""

    __slots__ = (
        "authority",
        "block",
        "fields",
        "length",
        "method",
        "rendered",
        "replaced",
        "takes_trailers",
        "target",
        "upgrade",
    )

    def __init__(
        self,
        method: bytes,
        target: bytes,
        authority: bytes,
        fields: bytes,
        length: int,
        *,
        takes_trailers: bool,
        replaced: frozenset[bytes],
        upgrade: bytes = b"",
    ) -> None:
        self.method = method
        self.target = target
        """In origin-form; in absolute-form for a forward proxy (RFC 9112 3.2)."""
        self.authority = authority
        """The value of Host."""
        self.fields = fields
        """All other field lines, each ended by CRLF; those that speak of the connection are not among them."""
        self.length = length
        """As in `RequestHead`."""
        self.takes_trailers = takes_trailers
        """The caller takes trailers (RFC 9110 10.1.4)."""
        self.replaced = replaced
        """Folded names of fields that the caller may not send, in trailers neither."""
        self.upgrade = upgrade
        """The protocol that the endpoint is asked to switch to, in lower case; empty: none."""
        self.rendered: bytes | None = None
        """Its head in the notation of HTTP/1.1, without the empty line, when it was made once."""
        self.block: bytes | None = None
        """The same in the notation of HTTP/2."""


class ResponseHead:
    """A response's head; ``fields`` and ``known`` as in `RequestHead`."""

    __slots__ = (
        "block",
        "fields",
        "idle_limit",
        "keep_alive",
        "known",
        "length",
        "minor",
        "names_body",
        "reason",
        "rendered",
        "status",
    )

    def __init__(
        self,
        status: int,
        reason: bytes,
        minor: int,
        fields: list[bytes],
        known: dict[bytes, bytes],
        length: int,
        keep_alive: bool,
    ) -> None:
        self.status = status
        self.reason = reason
        self.minor = minor
        self.fields = fields
        self.known = known
        self.length = length
        """Bytes of the body; 0: none; `CHUNKED`; `UNTIL_CLOSE`."""
        self.keep_alive = keep_alive
        self.idle_limit = inf
        """Seconds after which the sender closes the connection when it is not used (Keep-Alive: timeout)."""
        self.names_body = False
        """Its fields speak of a body that by the rules does not follow (HEAD, 304): a broken sender may send one."""
        self.rendered: bytes | None = None
        """The part of it that every client gets, when it was made once."""
        self.block: bytes | None = None
        """The same in the notation of HTTP/2."""


MAX_KEPT_HEAD: Final = 4096
"""Bytes of a head that a connection keeps for the next one. A larger head is parsed each time, because with its fields
it takes four times its size in every idle connection.
"""
CHUNKED = -1
UNTIL_CLOSE = -2
