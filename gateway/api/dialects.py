"""The sets of paths of the API, and how each of them writes errors.

Each path leads to the same handlers. Only the forms of requests and responses differ, because their clients differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.admin.errors import AdminError

ErrorForm = Callable[[AdminError, str], Mapping[str, object]]
"""The body for an error, and for the id of its request."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """``name``: for ids of operations. ``base``: begins its paths. ``model``: the schema of its errors."""

    name: str
    base: str
    error: ErrorForm
    model: str


def _own(error: AdminError, request_id: str) -> Mapping[str, object]:
    return error.body() | {"request_id": request_id}


_PREFIXES: Final = {400: "validation", 401: "auth", 403: "auth", 404: "not_found", 409: "conflict"}


def _api_error(error: AdminError, request_id: str) -> Mapping[str, object]:
    """ApiError: `code`, `message`, `details`. The part of the code before the dot follows from the status."""
    code = error.code if "." in error.code else f"{_PREFIXES.get(error.status, 'internal')}.{error.code}"
    return {"code": code, "message": error.details, "details": _details(error) | {"request_id": request_id}}


_CODES: Final = {
    401: "FORBIDDEN",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    408: "TIMEOUT",
    409: "CONFLICT",
    429: "RATE_LIMITED",
    502: "UPSTREAM_ERROR",
    503: "UPSTREAM_ERROR",
    504: "TIMEOUT",
}
_OURS: Final = frozenset(("internal", "store", "unavailable"))
"""Codes of failures of the gateway itself, whatever their status is."""


def _enveloped(error: AdminError, request_id: str) -> Mapping[str, object]:
    code = _CODES.get(error.status, "INVALID_INPUT" if error.status < 500 else "INTERNAL")
    if error.code in _OURS:
        code = "INTERNAL"
    details = {"reason": error.code} | _details(error)
    return {
        "success": False,
        "error": {"code": code, "message": error.details, "details": details},
        "metadata": {"request_id": request_id},
    }


def _details(error: AdminError) -> dict[str, object]:
    found = {key: value for key, value in error.extra.items() if key != "message"}
    if error.fields:
        found["fields"] = [{"path": path, "message": message} for path, message in error.fields]
    return found


OWN: Final = Dialect("", "/api/gateway", _own, "Error")
TASKS: Final = Dialect("v1", "/api/v1", _api_error, "ApiError")
ENVELOPED: Final = Dialect("plain", "", _enveloped, "EnvelopeError")

_ROOTS: Final = frozenset(("kinds", "actions", "execute", "health"))


def dialect_of(path: str) -> Dialect:
    """The one that a path belongs to, also when no route has this path."""
    if path.startswith(f"{TASKS.base}/"):
        return TASKS
    return ENVELOPED if path.split("/", 2)[1:2] and path.split("/", 2)[1] in _ROOTS else OWN
