"""One request as a handler gets it, and the result that it returns: both are independent of HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from gateway.admin.actor import Actor
from gateway.admin.call_results import Rest
from gateway.admin.errors import validation
from gateway.admin.service import Administration
from gateway.config.validation_messages import sentence

_PER_PAGE: Final = 50

Model = TypeVar("Model", bound=BaseModel)


class Health(Protocol):
    """The health of the gateway, for load balancers and orchestrators."""

    def live(self) -> Mapping[str, object]: ...
    def ready(self) -> tuple[bool, Mapping[str, object]]: ...


@dataclass(frozen=True, slots=True)
class Call:
    """One request, checked: ``body`` is the parsed JSON, ``query`` holds the parameters that were given."""

    administration: Administration
    health: Health
    actor: Actor
    client: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, object] = field(default_factory=dict)
    body: Mapping[str, object] = field(default_factory=dict)
    if_match: int | None = None
    accept: str = ""
    """The media types that the caller accepts for the response."""
    described: Mapping[str, object] = field(default_factory=dict)
    """The OpenAPI document."""
    request_id: str = ""
    """What the response names as its X-Request-Id."""
    device: str = field(default="", repr=False)
    """The cookie of a device that logged in before."""
    tenant: str = ""
    """The field X-Tenant; "": there is none."""
    idempotency_key: str = ""
    """The field Idempotency-Key; "": there is none."""

    def model(self, kind: type[Model]) -> Model:
        """The body as ``kind``. Raises `AdminError` with the path of each wrong field."""
        try:
            return kind.model_validate(dict(self.body))
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            raise validation((".".join(map(str, e["loc"])), sentence(e)) for e in found) from None

    def versioned(self) -> tuple[dict[str, object], int | None]:
        """The body without its version, and the version that it, or If-Match, names. Raises `AdminError`."""
        body = dict(self.body)
        version = body.pop("version", None)
        if version is not None and (not isinstance(version, int) or isinstance(version, bool)):
            raise validation([("version", "must be a whole number; write it in digits, without quotes")])
        return body, self._of_both(version)

    def deleted_version(self) -> int | None:
        """The version that the parameter ``version``, or If-Match, names. Raises `AdminError`."""
        return self._of_both(self.number("version"))

    def _of_both(self, version: int | None) -> int | None:
        if version is not None and self.if_match not in (None, version):
            raise validation(
                [("version", "is not the one that If-Match names; send one of the two, or the same in both")]
            )
        return version if self.if_match is None else self.if_match

    def flag(self, name: str) -> bool:
        """A parameter that is true or false; false when it was not given."""
        return bool(self.query.get(name))

    def number(self, name: str) -> int | None:
        value = self.query.get(name)
        return value if isinstance(value, int) else None

    def text(self, name: str) -> str:
        value = self.query.get(name)
        return value if isinstance(value, str) else ""

    def paging(self) -> tuple[int, int]:
        """The page, and how many items it has."""
        page, per_page = self.number("page"), self.number("per_page")
        return 1 if page is None else page, _PER_PAGE if per_page is None else per_page


@dataclass(frozen=True, slots=True)
class Text:
    """A response that is not JSON."""

    kind: str
    """Its media type, with parameters."""
    text: str


@dataclass(frozen=True, slots=True)
class Bytes:
    """A response that is someone else's: bytes as they came."""

    data: bytes = field(repr=False)
    fields: tuple[tuple[str, str], ...]
    """Header fields that say what the bytes are, and of what."""
    rest: Rest | None = None
    """What follows ``data``; None: nothing."""

    async def whole(self) -> Bytes:
        """The same without a rest. Raises `AdminError` when the body breaks off."""
        if self.rest is None:
            return self
        parts = [self.data]
        try:
            while piece := await self.rest.piece():
                parts.append(piece)
        finally:
            await self.rest.aclose()
        return replace(self, data=b"".join(parts), rest=None)


@dataclass(frozen=True, slots=True)
class LoginResult:
    """The response to a login: ``device`` is set as a cookie that later logins send."""

    body: Mapping[str, object]
    device: str = field(repr=False)


Result = tuple[int, Mapping[str, object] | Text | Bytes | LoginResult | None]
"""Status and body."""
