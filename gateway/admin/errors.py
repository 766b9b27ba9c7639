"""Errors of the control plane, in the shape of the data plane's error bodies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.config.errors import ConfigError
from gateway.store.errors import AlreadyExists

Field = tuple[str, str]
"""(path of the field, what is wrong with it and how to fix it)"""


class AdminError(Exception):
    """``extra``: further keys of the body, beside the usual ones."""

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        details: str,
        fields: Iterable[Field] = (),
        extra: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(details)
        self.status = status
        self.code = code
        self.title = title
        self.details = details
        self.fields = tuple(fields)
        self.extra = dict(extra or {})

    def body(self) -> dict[str, object]:
        body: dict[str, object] = {"error": self.title, "details": self.details, "code": self.code}
        if self.fields:
            body["fields"] = [{"path": path, "message": message} for path, message in self.fields]
        return body | self.extra


def validation(fields: Iterable[Field]) -> AdminError:
    found = tuple(fields)
    text = "; ".join(": ".join(filter(None, field)) for field in found)
    return AdminError(400, "validation", "Validation failed", text, found)


def invalid(error: ConfigError) -> AdminError:
    """The configuration rules that a proxy violates."""
    return validation((".".join(map(str, p.path)), p.message) for p in error.problems)


def unauthenticated(details: str = "Log in first, or send a valid token") -> AdminError:
    return AdminError(401, "unauthenticated", "Authentication required", details)


def forbidden() -> AdminError:
    return AdminError(403, "forbidden", "Access Denied", "Only superusers, and tokens with their right, may do this")


def not_found(details: str) -> AdminError:
    return AdminError(404, "not_found", "Not Found", details)


def conflict(code: str, details: str, extra: Mapping[str, object] | None = None) -> AdminError:
    return AdminError(409, code, "Conflict", details, (), extra)


def unavailable(details: str) -> AdminError:
    return AdminError(503, "unavailable", "Service Unavailable", details)


def already_exists(error: AlreadyExists) -> AdminError:
    return AdminError(409, "already_exists", "Conflict", str(error), [(error.field, str(error))])


def version_required(current: int) -> AdminError:
    """The change names no version of the record, whose version is ``current``."""
    return AdminError(
        428,
        "version_required",
        "Precondition Required",
        "say which version you change: send If-Match, or version in the body",
        [("version", f"is required; the current one is {current}")],
    )


def version_conflict(version: int, current: Mapping[str, object]) -> AdminError:
    """``current``: the record as it is now, of this ``version``."""
    details = f"it was changed meanwhile, its version is {version}; read it again and repeat the change"
    return conflict("version_conflict", details, {"current": current})
