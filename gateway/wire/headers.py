"""The heads that the gateway writes: to the upstream, to the client, and its own answers.

Field lines of the other side travel on as they stood on the wire; only hop-by-hop fields, the forwarding fields and
what the configuration sets are written anew (RFC 9110 7.6).
"""

from __future__ import annotations

import http
import time
from collections.abc import Iterable
from email.utils import formatdate

from gateway.core.credential import holds_own_token
from gateway.core.forwarded import folded, is_claim
from gateway.core.message import CHUNKED, RequestHead, ResponseHead
from gateway.wire.head import MAX_KEPT_HEAD
from gateway.wire.target import join

VIA = b"breakwater"
"""RFC 9110 7.6.3: a gateway names itself in each request that it forwards; the name of one that was given none."""

_REASON_PHRASES = {s.value: s.phrase.encode() for s in http.HTTPStatus}


def names(via: bytes, name: bytes) -> bool:
    """Whether a gateway called ``name`` stands in the value of a Via field: ``[protocol/]version name [comment], ...``.

    Names are compared without regard to case: a hop in between may have changed that.
    """
    wanted = name.lower()
    if wanted not in via.lower():
        return False
    return any(hop.split()[1:2] == [wanted] for hop in via.lower().split(b","))


class Forwarding:
    """What the connection that a request came in by adds to the head: the client's address and scheme.

    ``trusted``: the peer is a proxy of ours, and what it says of the way that the request came is believed.
    """

    __slots__ = ("address", "scheme", "trusted")

    def __init__(self, address: bytes, scheme: bytes, trusted: bool) -> None:
        self.address = address
        self.scheme = scheme
        self.trusted = trusted

    def lines(self, request: RequestHead, prefix: bytes = b"") -> bytes:
        """X-Forwarded-For, -Host, -Proto, and -Prefix when a ``prefix`` was stripped from the path.

        For a trusted peer what it says itself stands before it, and the other fields of the list in
        `gateway.core.forwarded` travel on; those of all others are gone.
        """
        known = request.known
        host = known.get(b"host", b"")
        if not self.trusted:
            lines = b"X-Forwarded-For: %b\r\nX-Forwarded-Host: %b\r\nX-Forwarded-Proto: %b\r\n" % (
                self.address,
                host,
                self.scheme,
            )
            return lines + b"X-Forwarded-Prefix: %b\r\n" % prefix if prefix else lines
        before = known.get(b"x-forwarded-for")
        lines = b"X-Forwarded-For: %b\r\nX-Forwarded-Host: %b\r\nX-Forwarded-Proto: %b\r\n" % (
            self.address if before is None else before + b", " + self.address,
            known.get(b"x-forwarded-host", host),
            known.get(b"x-forwarded-proto", self.scheme),
        )
        prefix = known.get(b"x-forwarded-prefix", b"").rstrip(b"/") + prefix
        if prefix:
            lines += b"X-Forwarded-Prefix: %b\r\n" % prefix
        forwarded = known.get(b"forwarded")
        if forwarded is not None:
            lines += b"Forwarded: %b\r\n" % forwarded
        if request.claims is not None:
            lines += b"".join([b"%b\r\n" % line for line in request.claims])
        return lines


class HeadTemplate:
    """What every request of one route gets: the Host line, the configured fields, and which of the client's they
    replace.
    """

    __slots__ = ("_configured", "_host_line", "_prefix", "_replaces_claims", "_via", "replaced")

    def __init__(
        self,
        host: bytes | None,
        configured: list[tuple[bytes, bytes]],
        replaced: Iterable[bytes] = (),
        prefix: bytes = b"",
        via: bytes = VIA,
    ) -> None:
        """``host`` None: the client's own Host travels on. ``replaced``: more fields that the client may not send.

        ``prefix``: what is stripped from the path, for X-Forwarded-Prefix. ``via``: the name of this gateway in Via,
        behind the version that was received.
        """
        self._via = tuple(b"Via: 1.%d %b\r\n" % (minor, via) for minor in (0, 1))
        self._host_line = None if host is None else b"Host: %b\r\n" % host
        self._configured = b"".join(b"%b: %b\r\n" % field for field in configured)
        self.replaced = frozenset(map(folded, [*replaced, *(name for name, _ in configured)]))
        """Folded names."""
        self._replaces_claims = any(is_claim(name) for name in self.replaced)
        self._prefix = prefix

    def fill(
        self,
        request: RequestHead,
        base: bytes,
        strip: int,
        forwarding: Forwarding,
        request_id: bytes,
        personal: bytes = b"",
        trace: bytes = b"",
    ) -> bytes:
        """The whole head of the request to the upstream; ``base`` and ``strip`` as in `target.join`.

        Equal heads of one connection are one object: what was made of it for this route is kept with it, but for
        ``personal``, the lines that depend on who asks, and ``trace``, the value of a traceparent of our own.
        """
        if trace:
            return self._render_traced(request, join(base, request.target, strip), forwarding, trace) + (
                b"%bX-Request-Id: %b\r\n\r\n" % (personal, request_id)
            )
        if request.rendered is not None and request.rendered[0] is self:
            return b"%b%bX-Request-Id: %b\r\n\r\n" % (request.rendered[1], personal, request_id)
        rendered = self._render(request, join(base, request.target, strip), forwarding)
        if len(rendered) <= MAX_KEPT_HEAD:  # else the request is not seen again
            request.rendered = (self, rendered)
        return b"%b%bX-Request-Id: %b\r\n\r\n" % (rendered, personal, request_id)

    def _render_traced(self, request: RequestHead, target: bytes, forwarding: Forwarding, trace: bytes) -> bytes:
        fields = [line for line in request.fields if line[:12].lower() != b"traceparent:"]
        return self._render(request, target, forwarding, fields) + b"traceparent: %b\r\n" % trace

    def _render(
        self, request: RequestHead, target: bytes, forwarding: Forwarding, fields: list[bytes] | None = None
    ) -> bytes:
        if fields is None:
            fields = request.fields
        if self.replaced:
            fields = self._unreplaced(fields)
        if holds_own_token(request.known.get(b"authorization", b"")):
            fields = [line for line in fields if line[:14].lower() != b"authorization:"]
        return b"%b %b HTTP/1.1\r\n%b%b%b%b%b%b" % (
            request.method,
            target,
            self._host_line or b"Host: %b\r\n" % request.known.get(b"host", b""),
            b"%b\r\n" % b"\r\n".join(fields) if fields else b"",
            _rare(request),
            self._claims(request, forwarding),
            self._via[request.minor],
            self._configured,
        )

    def _unreplaced(self, lines: list[bytes]) -> list[bytes]:
        return [line for line in lines if folded(line[: line.find(b":")]) not in self.replaced]

    def _claims(self, request: RequestHead, forwarding: Forwarding) -> bytes:
        lines = forwarding.lines(request, self._prefix)
        if not self._replaces_claims:
            return lines
        return b"".join([line + b"\r\n" for line in self._unreplaced(lines[:-2].split(b"\r\n"))])


def _rare(request: RequestHead) -> bytes:
    """The lines that few requests need."""
    known = request.known
    lines = b"Transfer-Encoding: chunked\r\n" if request.length == CHUNKED else b""
    if b"expect" in known and request.minor:  # RFC 9110 10.1.1: HTTP/1.0 has no Expect
        lines += b"Expect: %b\r\n" % known[b"expect"]
    if b"max-forwards" in known:
        lines += b"Max-Forwards: %b\r\n" % known[b"max-forwards"]
    if b"te" in known and b"trailers" in known[b"te"].lower():
        lines += b"TE: trailers\r\nConnection: TE\r\n"  # RFC 9110 10.1.4: trailers do travel on
    return lines


class HttpDate:
    """The value of Date (RFC 9110 6.6.1), made once a second."""

    __slots__ = ("_line", "_second")

    def __init__(self) -> None:
        self._second = 0
        self._line = b""

    def line(self) -> bytes:
        now = int(time.time())
        if now != self._second:
            self._second = now
            self._line = b"Date: %b\r\n" % formatdate(now, usegmt=True).encode()
        return self._line


_date = HttpDate()


def response_head(response: ResponseHead, framing: bytes, request_id: bytes) -> bytes:
    """The head for the client; ``framing`` is the lines that the downstream connection decides."""
    rendered = response.rendered
    if rendered is None:
        rendered = _render_response(response)
        if b"date" in response.known:
            response.rendered = rendered
    return b"%b%bX-Request-Id: %b\r\n\r\n" % (rendered, framing, request_id)


def _render_response(response: ResponseHead) -> bytes:
    fields = response.fields
    if response.status == 204:  # RFC 9110 8.6: no Content-Length in a 204
        fields = [line for line in fields if line[:15].lower() != b"content-length:"]
    return b"HTTP/1.1 %d %b\r\n%b%b" % (
        response.status,
        response.reason,
        b"%b\r\n" % b"\r\n".join(fields) if fields else b"",
        b"" if b"date" in response.known else _date.line(),  # RFC 9110 6.6.1: a recipient with a clock adds it
    )


def interim_head(response: ResponseHead) -> bytes:
    """A 1xx on its way to the client (RFC 9110 15.2)."""
    fields = b"".join(line + b"\r\n" for line in response.fields)
    return b"HTTP/1.1 %d %b\r\n%b\r\n" % (response.status, response.reason, fields)


def own_head(status: int, fields: bytes) -> bytes:
    """The head of an answer of the gateway's own; ``fields`` are whole lines."""
    return b"HTTP/1.1 %d %b\r\n%b%b\r\n" % (status, _REASON_PHRASES.get(status, b""), _date.line(), fields)
