"""For each group of attacks: the rule, and why the gateway differs from others where it does."""

from __future__ import annotations

WHY = {
    "Content-Length": (
        "RFC 9110 8.6 and RFC 9112 6.3: two recipients that read another number end the request at another place. "
        "RFC 9112 6.3 lets a recipient take a list of equal values; the gateway rejects it, because no caller "
        "needs it."
    ),
    "Transfer-Encoding": (
        "RFC 9112 6.1: the gateway takes `chunked` alone, and 400 for all else, 501 being for codings that are "
        "known. With HTTP/1.0 the framing is faulty by that section."
    ),
    "A request within a request": (
        "RFC 9112 6.3 and 11.2: where the length is in doubt there is no request. A peer may remove Content-Length"
        " beside Transfer-Encoding and go on; the gateway rejects both together."
    ),
    "Bodies that look like a request": (
        "RFC 9112 6.3: the length is clear, so the upstream reads one request with a body."
    ),
    "Chunks": (
        "RFC 9112 7.1: the gateway relays a body as it comes, so its upstream may have the head when the body "
        "fails (`cut`); it never sees an end. Peers that wait for the body send nothing."
    ),
    "Host": ("RFC 9112 3.2 and RFC 9110 7.2: who reads another host reads another site; 400 in all cases of doubt."),
    "Lines": (
        "RFC 9112 2.2, 5.1 and 5.2 allow a bare LF to end a line and a folded line to be joined; the gateway "
        "rejects both, because smuggling begins where two recipients see other lines."
    ),
    "Request line": (
        "RFC 9112 3: a recipient may split at other white space; the gateway takes one space and no more."
    ),
    "Versions and methods": (
        "RFC 9110 2.5 and 9.3: HTTP/1.0 and HTTP/1.1 are served. CONNECT and TRACE are not (501): a tunnel has no "
        "path to route by, and TRACE sends credentials back."
    ),
    "Odd requests that are in order": (
        "RFC 9112 2.2, 3.2 and 7.1: strict is not narrow. A peer that is stricter here rejects what the RFC allows."
    ),
    "Fields of HTTP/2": (
        "RFC 9113 8.1.1, 8.2 and 8.3: a malformed request is a stream error. The gateway sends a 400 before the "
        "reset, so that a caller can read why."
    ),
    "Frames that end the connection": (
        "RFC 9113 5.4.1 and RFC 7541: the code of GOAWAY is compared in the gateway's own tests."
    ),
    "Frames that end a stream": (
        "RFC 9113 5.4.2: one stream ends and the others go on. Peers that end the connection are stricter than "
        "they need be."
    ),
    "Floods": (
        "RFC 9113 10.5: each frame is cheap, and there are twice as many as the gateway's budget covers. "
        "`open`: all of them were taken and the connection goes on."
    ),
    "Header blocks that grow": (
        "RFC 9113 10.5.1 and RFC 7541 7.3: count and size are bounded while a block is decoded."
    ),
    "Callers that do not read": (
        "RFC 9113 5.2: megabytes of a response of 64 MB that left the upstream while its caller read nothing, "
        "those in the buffers of the kernel included."
    ),
    "Responses that are no HTTP/1.1": (
        "RFC 9112 6.3 and 2.2: a proxy has to reject an upstream's response with two framings, and the gateway "
        "rejects all that it would reject of a caller. `raw`: bytes without a head are passed on as in HTTP/0.9."
    ),
    "Responses that break off": (
        "RFC 9112 8: a response that is cut never looks whole, so the caller's connection is reset."
    ),
    "Responses over TLS that break off": (
        "RFC 9112 9.8: without close_notify the end of a response that lasts until the connection closes may be an"
        " attacker's. The gateway cuts it."
    ),
    "HTTP/2 responses that break the rules": ("RFC 9113 8.1.1: a malformed response is not passed on."),
    "HTTP/2 responses that break off": ("RFC 9113 8.1: without END_STREAM a response is not whole."),
}
