"""What changes in a request on its way to the upstream: forwarding fields, Via, configured fields, credentials that end
here.

All other field lines of the caller travel on as they stood on the wire (RFC 9110 7.6).
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.core.credential import holds_own_token
from gateway.core.forwarded import folded, is_claim
from gateway.core.message import MAX_KEPT_HEAD, VERSIONS, OutgoingRequest, RequestHead
from gateway.core.peer import Peer
from gateway.core.target import join
from gateway.proxy.websocket import PROTOCOL, wants_websocket

VIA = b"breakwater"
"""RFC 9110 7.6.3: a gateway names itself in each request that it forwards; the name of one that was given none."""


def names(via: bytes, name: bytes) -> bool:
    """Whether a gateway called ``name`` stands in the value of a Via field: ``[protocol/]version name [comment], ...``.

    Names are compared without regard to case: a hop in between may have changed that.
    """
    wanted = name.lower()
    if wanted not in via.lower():
        return False
    return any(hop.split()[1:2] == [wanted] for hop in via.lower().split(b","))


def forwarding_lines(peer: Peer, request: RequestHead, prefix: bytes = b"") -> bytes:
    """X-Forwarded-For, -Host, -Proto, and -Prefix when a ``prefix`` was stripped from the path.

    The values of a trusted peer's own fields stand before them, and its other fields of the list in
    `gateway.core.forwarded` travel on; those of all other peers are dropped.
    """
    known = request.known
    host = known.get(b"host", b"")
    if not peer.trusted:
        lines = b"X-Forwarded-For: %b\r\nX-Forwarded-Host: %b\r\nX-Forwarded-Proto: %b\r\n" % (
            peer.host,
            host,
            peer.scheme,
        )
        return lines + b"X-Forwarded-Prefix: %b\r\n" % prefix if prefix else lines
    before = known.get(b"x-forwarded-for")
    lines = b"X-Forwarded-For: %b\r\nX-Forwarded-Host: %b\r\nX-Forwarded-Proto: %b\r\n" % (
        peer.host if before is None else before + b", " + peer.host,
        known.get(b"x-forwarded-host", host),
        known.get(b"x-forwarded-proto", peer.scheme),
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


class RequestRewrite:
    """What every request of one route gets: the authority, the configured fields, and which of the caller's fields they
    replace.
    """

    __slots__ = (
        "_authority",
        "_base",
        "_configured",
        "_forwards",
        "_prefix",
        "_replaces_claims",
        "_strip",
        "_via",
        "_websocket",
        "replaced",
    )

    def __init__(
        self,
        authority: bytes | None,
        configured: list[tuple[bytes, bytes]],
        replaced: Iterable[bytes] = (),
        *,
        base: bytes = b"",
        prefix: bytes = b"",
        via: bytes = VIA,
        websocket: bool = False,
        forwards: bool = True,
    ) -> None:
        """``authority`` None: the caller's own Host travels on. ``replaced``: more fields that the caller may not send.

        ``base`` is put before the path, and ``prefix`` is stripped from it, as in `target.join`; the prefix is named in
        X-Forwarded-Prefix. ``via``: the name of this gateway in Via, behind the version that was received.
        ``websocket``: the upstream may be asked to switch to it, as the caller asks. ``forwards``: the requests are
        those of a caller, of whom X-Forwarded-* tells.
        """
        self._forwards = forwards
        self._websocket = websocket
        self._via = tuple(b"Via: %b %b\r\n" % (version.encode(), via) for version in VERSIONS)
        self._authority = authority
        self._configured = b"".join(b"%b: %b\r\n" % field for field in configured)
        self.replaced = frozenset(map(folded, [*replaced, *(name for name, _ in configured)]))
        """Folded names."""
        self._replaces_claims = any(is_claim(name) for name in self.replaced)
        self._base = base
        self._prefix = prefix
        self._strip = len(prefix)

    def request(self, request: RequestHead, peer: Peer, trace: bytes = b"") -> OutgoingRequest:
        """``request`` as the upstream gets it, but for the lines that differ from one request to the next.

        Equal heads of one connection are one object: what was made of it for this route is kept with it. ``trace``:
        the value of a traceparent of our own, which is not kept.
        """
        if trace:
            fields = [line for line in request.fields if line[:12].lower() != b"traceparent:"]
            return self._rewritten(request, peer, fields, b"traceparent: %b\r\n" % trace)
        kept = request.rewritten
        if kept is not None and kept[0] is self:
            return kept[1]
        made = self._rewritten(request, peer, request.fields, b"")
        if len(made.fields) <= MAX_KEPT_HEAD:  # else the request is not seen again
            request.rewritten = (self, made)
        return made

    def _rewritten(self, request: RequestHead, peer: Peer, fields: list[bytes], more: bytes) -> OutgoingRequest:
        known = request.known
        if self.replaced:
            fields = self._unreplaced(fields)
        if holds_own_token(known.get(b"authorization", b"")):
            fields = [line for line in fields if line[:14].lower() != b"authorization:"]
        authority = self._authority
        return OutgoingRequest(
            request.method,
            join(self._base, request.target, self._strip),
            known.get(b"host", b"") if authority is None else authority,
            b"%b%b%b%b%b%b"
            % (
                b"%b\r\n" % b"\r\n".join(fields) if fields else b"",
                _rare(request),
                self._claims(request, peer),
                self._via[request.minor],
                self._configured,
                more,
            ),
            request.length,
            takes_trailers=b"te" in known and b"trailers" in known[b"te"].lower(),
            replaced=self.replaced,
            upgrade=PROTOCOL if self._websocket and wants_websocket(request) else b"",
        )

    def _unreplaced(self, lines: list[bytes]) -> list[bytes]:
        return [line for line in lines if folded(line[: line.find(b":")]) not in self.replaced]

    def _claims(self, request: RequestHead, peer: Peer) -> bytes:
        if not self._forwards:
            return b""
        lines = forwarding_lines(peer, request, self._prefix)
        if not self._replaces_claims:
            return lines
        return b"".join([line + b"\r\n" for line in self._unreplaced(lines[:-2].split(b"\r\n"))])


def _rare(request: RequestHead) -> bytes:
    """The lines that few requests need."""
    known = request.known
    lines = b""
    if b"expect" in known and request.minor:  # RFC 9110 10.1.1: HTTP/1.0 has no Expect
        lines += b"Expect: %b\r\n" % known[b"expect"]
    if b"max-forwards" in known:
        lines += b"Max-Forwards: %b\r\n" % known[b"max-forwards"]
    return lines
