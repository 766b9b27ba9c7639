"""The handshake of WebSocket as a request of a caller: whether it is one, and a whole one (RFC 6455 4.1, 4.2.1)."""

from __future__ import annotations

import re
from typing import Final

from gateway import errors
from gateway.core.message import HTTP_2, RequestHead
from gateway.errors import GatewayError
from gateway.wire.grammar import tokens

PROTOCOL: Final = b"websocket"
_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{21}[AQgw]==")
"""16 bytes in base64, the last 4 bits of them 0."""
_VERSION: Final = re.compile(rb"0|[1-9][0-9]{0,2}")
"""RFC 6455 4.3. 13 is the only one in use; an endpoint that wants another one says so itself (RFC 6455 4.2.2)."""
_REQUIRED: Final = (
    (b"sec-websocket-key", _KEY, "16 bytes in base64"),
    (b"sec-websocket-version", _VERSION, "a number up to 999"),
)


def wants_websocket(request: RequestHead) -> bool:
    """The request asks for a switch to WebSocket, well or badly."""
    known = request.known
    # RFC 9110 7.8: in HTTP/1.0, or without the connection option (others may stand beside it), it means nothing.
    if not request.minor or b"upgrade" not in known or b"upgrade" not in tokens(known.get(b"connection", b"")):
        return False
    return PROTOCOL in tokens(known[b"upgrade"])


def check_handshake(request: RequestHead) -> None:
    """Raises `GatewayError` ``bad_request`` for a handshake that no endpoint could accept."""
    if request.method != b"GET":
        raise _bad(f"its method is {request.method.decode()}, and must be GET")
    if request.length:
        raise _bad("it has a body, and must have none")
    for name, form, what in _REQUIRED if request.minor != HTTP_2 else _REQUIRED[1:]:  # RFC 8441 5: there is no key
        title = "-".join(map(str.capitalize, name.decode().split("-"))).replace("Websocket", "WebSocket")
        values = values_in(request.fields, name)
        if not values:
            raise _bad(f"{title} is missing")
        if len(values) > 1:
            raise _bad(f"{title} is repeated")
        if not form.fullmatch(values[0]):
            raise _bad(f"{title} is not {what}")


def values_in(fields: list[bytes], name: bytes) -> list[bytes]:
    """The values of each line of the field ``name``, which is lower-case."""
    lines = (line.partition(b":") for line in fields)
    return [value.strip(b" \t") for field, _, value in lines if field.lower() == name]


def _bad(why: str) -> GatewayError:
    return GatewayError(errors.BAD_REQUEST, f"The WebSocket handshake is not valid: {why}")
