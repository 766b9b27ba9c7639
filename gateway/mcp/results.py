"""What a client gets of a call: a result of ``tools/call``, whose errors are sentences that a model can act on."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from gateway import errors
from gateway.core.text import counted
from gateway.errors import GatewayError
from gateway.ipc.calls import Called, Failure

_FULL: Final = "{what} is at its limit of {limit} at once"
_WORDS: Final = {
    errors.CONCURRENCY_LIMIT.code: _FULL,
    errors.QUEUE_FULL.code: f"{_FULL}, and so many wait already that no more may",
    errors.QUEUE_TIMEOUT.code: f"{_FULL}, and none of them ended in time",
    errors.QUEUE_PREDICTED_TIMEOUT.code: f"{_FULL}, and none of them is expected to end in time",
    errors.RATE_LIMIT.code: "{what} is called too often ({details})",
    errors.BREAKER_OPEN.code: "{what} is paused, because the service behind it has failed several times",
    errors.NO_HEALTHY_ENDPOINT.code: "{what} is paused, because no server of the service behind it is usable",
    errors.OVERLOADED.code: "the gateway has too much to do",
    errors.DRAINING.code: "the gateway is about to stop",
}
"""For what a caller can wait for."""
_JSON: Final = "application/json"
_TEXTS: Final = frozenset(
    ("application/xml", "application/javascript", "application/x-www-form-urlencoded", "application/yaml")
)


def refusal(what: str, code: str, details: str, retry_after: int, limit: int) -> str:
    """Why there is no response, as a sentence. ``what``: that which was called. ``limit``: of its calls at once; 0: it
    is not known. ``retry_after``: seconds; 0: no time is known."""
    words = _WORDS.get(code)
    # A limit that is not its own says itself which one it is.
    if words is None or ("{limit}" in words and (not limit or details != errors.REASONS[code].details)):
        sentence = details
    else:
        sentence = words.format(what=what, limit=counted(limit, "call"), details=details)
    sentence = f"{sentence[:1].upper()}{sentence[1:]}"
    return f"{sentence}; try again in {retry_after} s." if retry_after else f"{sentence}."


def refused(error: GatewayError, request_id: str, limit: int) -> dict[str, Any]:
    """The result of a call that the front door itself refuses."""
    reason = error.reason.code
    text = refusal("this server", reason, error.details, error.retry_after, limit)
    return _error([_text(text)], _about(request_id, reason, error.retry_after))


def result_of(called: Called, limit: int, *, modern: bool) -> dict[str, Any]:
    """The result of a call that was made. ``limit``: of the calls of this action at once; 0: none."""
    failure = called["failure"]
    if failure is not None:
        return _failed(failure, called["request_id"], limit)
    content, structured = _content(called, modern=modern)
    about = {**_about(called["request_id"]), "status": called["status"]}
    if not 200 <= called["status"] < 300:
        said = _text(f"The service responded with status {called['status']}.")
        return _error([said, *content], about)
    result = {"content": content, "isError": False, "_meta": about}
    return result if structured is None else {**result, "structuredContent": structured}


def _failed(failure: Failure, request_id: str, limit: int) -> dict[str, Any]:
    retry_after, fields = failure.get("retry_after", 0), failure.get("fields", ())
    text = refusal("this tool", failure["code"], failure["message"], retry_after, limit)
    if fields:
        text = "\n".join([f"{text.rstrip('.')}:", *(f"- {path}: {what}" for path, what in fields)])
    return _error([_text(text)], _about(request_id, failure["code"], retry_after))


def _error(content: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> dict[str, Any]:
    return {"content": list(content), "isError": True, "_meta": dict(about)}


def _about(request_id: str, reason: str = "", retry_after: int = 0) -> dict[str, Any]:
    """What programs read besides the sentence."""
    found: dict[str, Any] = {"requestId": request_id}
    if reason:
        found["reason"] = reason
    if retry_after:
        found["retryAfter"] = retry_after
    return found


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _content(called: Called, *, modern: bool) -> tuple[list[dict[str, Any]], Any]:
    """Content and structured content. The older era has objects alone as structured content; None: there is none."""
    body = called["body"]
    if not body:
        return [_text(f"The response has no body (status {called['status']}).")], None
    fields = {name.lower(): value for name, value in called["headers"]}
    kind = fields.get("content-type", "").partition(";")[0].strip().lower()
    if fields.get("content-encoding", "identity").lower() != "identity":
        return [_blob(body, "application/octet-stream", called)], None
    if kind.startswith(("image/", "audio/")) and kind != "image/svg+xml":
        return [{"type": kind[:5], "data": b64encode(body).decode(), "mimeType": kind}], None
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return [_blob(body, kind or "application/octet-stream", called)], None
    if not _is_text(kind):
        return [_blob(body, kind, called)], None
    return [_text(text)], _structured(body, modern=modern) if _is_json(kind) else None


def _structured(body: bytes, *, modern: bool) -> Any:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return value if modern or isinstance(value, dict) else None


def _is_json(kind: str) -> bool:
    return kind == _JSON or kind.endswith("+json")


def _is_text(kind: str) -> bool:
    return not kind or kind.startswith("text/") or kind in _TEXTS or _is_json(kind) or kind.endswith("+xml")


def _blob(body: bytes, kind: str, called: Called) -> dict[str, Any]:
    uri = f"urn:gateway:response:{called['request_id']}"
    return {"type": "resource", "resource": {"uri": uri, "mimeType": kind, "blob": b64encode(body).decode()}}
