"""Parsed heads of HTTP/1.1 messages, with the bytes of every field line as they stood on the wire."""

from __future__ import annotations

from math import inf


class RequestHead:
    """A request's head.

    ``fields`` are the field lines that travel on untouched (``b"Name: value"``, order, case and duplicates kept);
    ``known`` maps the lower-case names of the fields that the gateway reads or replaces to their values, repeated
    fields joined by a comma. ``target`` is always in origin-form (or ``*``): an absolute-form target has been taken
    apart by the parser. ``claims`` are lines of the list in `gateway.core.forwarded`, which travel on for a trusted
    peer alone. Connections share
    equal heads between exchanges: but for what is remembered in the last three attributes, nothing may be changed.
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
        "rendered",
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
        self.fields = fields
        self.known = known
        self.length = length
        """Bytes of the body; 0: none; `CHUNKED`."""
        self.keep_alive = keep_alive
        self.claims = claims
        """None: there are none."""
        self.rendered: tuple[object, bytes] | None = None
        """What was made of it for the upstream, and by which template; good for the next equal head."""
        self.routed: tuple[object, object] | None = None
        """Its handler, and the snapshot that chose it."""
        self.logged = ""
        """What the access log tells of it."""

    def having(self, known: dict[bytes, bytes]) -> RequestHead:
        """An equal head with other ``known`` fields, and nothing remembered."""
        return RequestHead(
            self.method, self.target, self.minor, self.fields, known, self.length, self.keep_alive, self.claims
        )


class ResponseHead:
    """A response's head; ``fields`` and ``known`` as in `RequestHead`."""

    __slots__ = (
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


CHUNKED = -1
UNTIL_CLOSE = -2
