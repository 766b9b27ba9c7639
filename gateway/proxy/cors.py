"""The fields by which a browser lets a page of another origin read a response of the gateway's own.

Fetch 3.3. A browser hides a response without these fields from the page: a 429 with its Retry-After would be a
network error there. The upstream sets them in its own responses; the gateway adds nothing to those.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.config.records import Cors


def cors_fields(cors: Cors, request_fields: Iterable[bytes]) -> bytes:
    """Whole field lines for a response of the gateway's own. ``cors.allow_origins`` is not empty.

    An origin is only ever repeated when it is listed; it is compared as browsers write it (RFC 6454 6.2).
    """
    exposed = b"Access-Control-Expose-Headers: %b\r\n" % ", ".join(cors.expose_headers).encode()
    if cors.allow_origins == ("*",):
        return b"Access-Control-Allow-Origin: *\r\n" + (exposed if cors.expose_headers else b"")
    # Caches must know that the response depends on the origin, also when this one is not allowed.
    lines = b"Vary: Origin\r\n"
    origins = [line[7:].strip(b" \t") for line in request_fields if line[:7].lower() == b"origin:"]
    if len(origins) != 1 or origins[0].lower().decode("latin-1") not in cors.allow_origins:
        return lines
    lines += b"Access-Control-Allow-Origin: %b\r\n" % origins[0]
    if cors.allow_credentials:
        lines += b"Access-Control-Allow-Credentials: true\r\n"
    return lines + exposed if cors.expose_headers else lines
