"""A row of the table of routes, made where its handler stands: access and OpenAPI document come from it too."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Final

from pydantic import BaseModel

from gateway.admin.actor import Actor
from gateway.admin.rights import superusers_only
from gateway.api.call import Call, Result
from gateway.api.dialects import OWN, Dialect

BASE: Final = OWN.base

Query = tuple[str, type, str]
"""(name, int, str or bool; what it means)"""

Field = tuple[str, str]
"""(name of a header field, what it means)"""

X_TENANT: Final = "X-Tenant"
IDEMPOTENCY_KEY: Final = "Idempotency-Key"
FIELD_VALUE: Final = re.compile("[!-~]{1,255}")
"""What the value of such a field may be."""

PAGING: Final[tuple[Query, ...]] = (
    ("page", int, "The page, from 1."),
    ("per_page", int, "Items on a page, 1 to 1000."),
)
DRY_RUN: Final[Query] = ("dry_run", bool, "true: change nothing, and report what would be touched.")

Handler = Callable[[Call], Awaitable[Result]]
Stream = Callable[[Call], AsyncGenerator[bytes, None]]
"""Server-Sent Events, for as long as they are read."""
Right = Callable[[Actor], None]
"""Raises `AdminError` for an actor without it."""


@dataclass(frozen=True, slots=True)
class Route:
    """``body`` and ``responses`` (by status) are for the OpenAPI document, ``operation`` and ``summary`` too."""

    method: str
    path: str
    operation: str
    summary: str
    handler: Handler
    responses: Mapping[int, type[BaseModel] | None]
    body: type[BaseModel] | None
    query: tuple[Query, ...]
    public: bool
    """Callers need not log in for it."""
    tells_superusers: bool
    """It is public, and shows a superuser more."""
    versioned: bool
    """If-Match may name the version that is changed."""
    stream: Stream | None
    """Replaces the body after ``handler`` has admitted the caller."""
    right: Right
    """Checked before anything of the request is looked at."""
    kind: str
    """Media type of the response, without parameters."""
    seconds: float
    """Its limit, where that of other requests (`gateway.api.times.Times.request`) is too short; else 0."""
    ends_with_caller: bool
    """It ends when the caller leaves: nothing but the response is left of it."""
    fields: tuple[Field, ...]
    """Header fields of a request that its handler reads, for the OpenAPI document."""
    raw: bool
    """A caller may have the bytes of a third party instead of JSON."""
    from_elsewhere: bool
    """A browser comes from another site: parameters that are not listed are ignored, and HEAD is not served, because it
    would use up what GET is to use."""
    dialect: Dialect = OWN

    @property
    def full_path(self) -> str:
        return self.dialect.base + self.path


def route(
    method: str,
    path: str,
    *,
    responds: Mapping[int, type[BaseModel] | None],
    body: type[BaseModel] | None = None,
    query: tuple[Query, ...] = (),
    public: bool = False,
    tells_superusers: bool = False,
    versioned: bool = False,
    stream: Stream | None = None,
    right: Right = superusers_only,
    kind: str = "application/json",
    seconds: float = 0.0,
    ends_with_caller: bool = False,
    fields: tuple[Field, ...] = (),
    raw: bool = False,
    from_elsewhere: bool = False,
) -> Callable[[Handler], Route]:
    """Make the function below it a route. Its name is the id of the operation, its docstring the summary.

    The parameters are those of `Route`.
    """

    def decorate(handler: Handler) -> Route:
        operation = re.sub(r"_(\w)", lambda found: found[1].upper(), handler.__name__)
        summary = (handler.__doc__ or "").partition("\n")[0].removesuffix(".")
        return Route(
            method,
            path,
            operation,
            summary,
            handler,
            responds,
            body,
            query,
            public,
            tells_superusers,
            versioned,
            stream,
            right,
            kind,
            seconds,
            ends_with_caller,
            fields,
            raw,
            from_elsewhere,
        )

    return decorate


def routes_of(module: ModuleType) -> list[Route]:
    """The routes of a module, in the order in which they stand there."""
    return [value for value in vars(module).values() if isinstance(value, Route)]
