"""The forms in which the other sets of paths write results: pure functions of what the handlers return."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.core import trn

Body = Mapping[str, object]
OUTPUTS: Final[Mapping[str, tuple[str, ...]]] = {
    "full": ("status", "headers", "body"),
    "body-only": ("body",),
    "headers-only": ("headers",),
    "status-only": ("status",),
}
_METADATA: Final = ("execution_time_ms", "action_trn", "attempts", "replayed")
_OF_PAGES: Final = ("items", "pages", "complete", "stopped")


def task_result(found: Body, output: str) -> Body:
    """A call as `/api/v1` shows it: status, headers and body alone, or the part that ``output`` names."""
    if found.get("dry_run"):
        return {"dry_run": True, "request": found["request"]}
    if "items" in found:
        return {key: found[key] for key in _OF_PAGES}
    shown = {**found, "headers": mapped(found["headers"])}
    return {key: shown[key] for key in OUTPUTS[output]}


def enveloped_call(found: Body, request_id: str) -> Body:
    """A call in an envelope. What is known of it besides the response is metadata."""
    metadata = {key: found[key] for key in _METADATA if key in found}
    metadata["version"] = trn.parse(str(found["action_trn"])).version
    if found.get("dry_run"):
        request = found["request"]
        assert isinstance(request, Mapping)
        warnings = ["this was a dry run: nothing was sent", *request["warnings"]]
        return envelope({"dry_run": True, "request": request}, request_id, metadata | {"warnings": warnings})
    if "items" in found:
        return envelope({key: found[key] for key in _OF_PAGES}, request_id, metadata)
    shown = {"status": found["status"], "headers": mapped(found["headers"]), "body": found["body"]}
    return envelope(shown, request_id, metadata)


def envelope(data: object, request_id: str, more: Body | None = None, *, success: bool = True) -> Body:
    return {"success": success, "data": data, "metadata": {"request_id": request_id, **(more or {})}}


def mapped(headers: object) -> dict[str, str | list[str]]:
    """Header fields by their names in lower case. Several of one name are one list of values (RFC 9110 5.3), but for
    Set-Cookie, whose values cannot be put together: they stay apart."""
    assert isinstance(headers, list)
    found: dict[str, list[str]] = {}
    for name, value in headers:
        found.setdefault(name.lower(), []).append(value)
    return {
        name: values if name == "set-cookie" and len(values) > 1 else ", ".join(values)
        for name, values in found.items()
    }
