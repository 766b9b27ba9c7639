"""From the request of a client to its JSON-RPC message (JSON-RPC 2.0), checked by the rules of its era."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from gateway.actions import eras
from gateway.core.message import RequestHead

Id = str | int
_WANTED: Final = frozenset(
    (b"accept", b"content-encoding", b"content-type", b"origin", eras.VERSION_FIELD, eras.METHOD_FIELD, eras.NAME_FIELD)
)
_ACCEPTED: Final = frozenset((b"application/json", b"application/*", b"*/*"))


class ProtocolError(Exception):
    """A request that gets an error of JSON-RPC. ``status``: of HTTP; 0: that of ``code``. ``id`` None: it has none."""

    def __init__(
        self,
        code: int,
        message: str,
        *,
        status: int = 0,
        data: Mapping[str, Any] | None = None,
        id: Id | None = None,  # noqa: A002 - the word of JSON-RPC
        modern: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data
        self.id = id
        self.status = status or eras.status_of(code, modern=modern)


@dataclass(frozen=True, slots=True)
class Message:
    """A request. ``modern``: of the era without ``initialize``."""

    id: Id
    method: str
    params: Mapping[str, Any]
    modern: bool

    def error(self, code: int, message: str) -> ProtocolError:
        """An error that is the response to it."""
        return ProtocolError(code, message, id=self.id, modern=self.modern)


class Fields:
    """The header fields of a request that the protocol speaks of, by their names in lower case."""

    def __init__(self, head: RequestHead) -> None:
        self._found: dict[bytes, list[bytes]] = {}
        for line in head.fields:
            name, _, value = line.partition(b":")
            if (name := name.lower()) in _WANTED:
                self._found.setdefault(name, []).append(value.strip(b" \t"))

    def all(self, name: bytes) -> Sequence[bytes]:
        return self._found.get(name, ())

    def one(self, name: bytes) -> str | None:
        """The only value; None: there is none. Raises `ProtocolError` for several, because two readers could choose
        different ones."""
        values = self.all(name)
        if len(values) > 1:
            raise ProtocolError(eras.HEADER_MISMATCH, f"the header field {name.decode()} is there more than once")
        return values[0].decode("latin-1") if values else None


def check_form(method: bytes, fields: Fields) -> None:
    """Raises `ProtocolError` for what is no POST of JSON by a client that takes JSON."""
    if method != b"POST":
        message = "this server opens no stream and keeps no session; send each message in a POST"
        raise ProtocolError(eras.INVALID_REQUEST, message, status=405)
    kinds = fields.all(b"content-type")
    encoded = [each for each in fields.all(b"content-encoding") if each.lower() != b"identity"]
    if [each.partition(b";")[0].strip().lower() for each in kinds] != [b"application/json"] or encoded:
        message = "the body must be JSON that is not compressed; send Content-Type: application/json"
        raise ProtocolError(eras.INVALID_REQUEST, message, status=415)
    ranges = [each.partition(b";")[0].strip().lower() for each in b",".join(fields.all(b"accept")).split(b",")]
    if ranges != [b""] and not _ACCEPTED.intersection(ranges):
        message = "the response is JSON; send Accept: application/json, text/event-stream"
        raise ProtocolError(eras.INVALID_REQUEST, message, status=406)


def read(body: bytes, fields: Fields) -> Message | None:
    """The request in ``body``; None: a notification, or a response to nothing, which needs no response.

    Raises `ProtocolError`. The header fields of a newer request must say what its body says.
    """
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise ProtocolError(eras.PARSE_ERROR, "the body is no JSON") from None
    if isinstance(found, list):
        raise ProtocolError(eras.INVALID_REQUEST, "batches are not served; send each message in a POST of its own")
    if not isinstance(found, dict) or found.get("jsonrpc") != "2.0":
        raise ProtocolError(eras.INVALID_REQUEST, 'the body is no message of JSON-RPC 2.0; it needs "jsonrpc": "2.0"')
    if "method" not in found and ("result" in found or "error" in found):
        _check_response(fields)
        return None
    method = found.get("method")
    if not isinstance(method, str):
        raise ProtocolError(eras.INVALID_REQUEST, "the message has no method")
    if "id" not in found:
        return None
    id_ = found["id"]
    if not isinstance(id_, str | int) or isinstance(id_, bool):
        raise ProtocolError(eras.INVALID_REQUEST, "the id of a request must be text or a whole number")
    try:
        return _request(id_, method, found.get("params", {}), fields)
    except ProtocolError as error:
        error.id = id_
        raise


def _check_response(fields: Fields) -> None:
    """Nothing was asked of a client, so that its response is ignored where it may send one."""
    if fields.one(eras.VERSION_FIELD) in eras.MODERN:
        raise ProtocolError(eras.INVALID_REQUEST, "clients send requests and notifications alone")


def _request(id_: Id, method: str, params: object, fields: Fields) -> Message:
    said = fields.one(eras.VERSION_FIELD)
    if not isinstance(params, dict):
        raise ProtocolError(eras.INVALID_PARAMS, "params must be an object", modern=said in eras.MODERN)
    meta = params.get("_meta")
    version = meta.get(eras.VERSION_KEY) if isinstance(meta, dict) else None
    if version is None and said not in eras.MODERN:
        if said is not None and said not in eras.LEGACY:
            raise _unsupported(said)
        return Message(id_, method, params, modern=False)
    if not isinstance(meta, dict) or not isinstance(version, str) or eras.CAPABILITIES_KEY not in meta:
        message = f"params._meta must have {eras.VERSION_KEY} and {eras.CAPABILITIES_KEY}"
        raise ProtocolError(eras.INVALID_PARAMS, message, modern=True)
    _agree(eras.VERSION_FIELD, said, version)
    _agree(eras.METHOD_FIELD, fields.one(eras.METHOD_FIELD), method)
    name = params.get(eras.NAMED[method]) if method in eras.NAMED else None
    if name is not None:
        _agree(eras.NAME_FIELD, decoded(fields.one(eras.NAME_FIELD)), name)
    if version not in eras.MODERN:
        raise _unsupported(version)
    return Message(id_, method, params, modern=True)


def _agree(field: bytes, said: str | None, meant: object) -> None:
    if said is None:
        raise ProtocolError(eras.HEADER_MISMATCH, f"the header field {field.decode()} is missing")
    if said != meant:
        message = f"the header field {field.decode()} says something else than the body"
        raise ProtocolError(eras.HEADER_MISMATCH, message)


def _unsupported(version: str) -> ProtocolError:
    data = {"supported": list(eras.SUPPORTED), "requested": version[:64]}
    return ProtocolError(eras.UNSUPPORTED_VERSION, "Unsupported protocol version", data=data)


def decoded(value: str | None) -> str | None:
    """The value of a field that may be encoded as ``=?base64?...?=`` (streamable-http, "Value Encoding")."""
    if value is None or not (value.startswith("=?base64?") and value.endswith("?=") and len(value) >= 11):
        return value
    try:
        return b64decode(value[9:-2], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise ProtocolError(eras.HEADER_MISMATCH, "a header field is no valid base64 of UTF-8") from None
