"""Bodies of requests and answers, as pydantic models: what is checked, and what the OpenAPI document shows."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.config import model as config


class Body(BaseModel):
    """What a client sends: nothing unknown, nothing converted; errors never hold what was sent."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True)


class Login(Body):
    email: str = Field(max_length=254)
    password: str = Field(max_length=1000, repr=False, json_schema_extra={"writeOnly": True})


class NewSuperuser(Login):
    """A superuser to be created; the password has 10 to 1000 characters."""


class NewSecret(Body):
    value: str = Field(min_length=1, max_length=4096, repr=False, json_schema_extra={"writeOnly": True})
    description: str = Field(default="", max_length=1000)


class NewToken(Body):
    name: str = Field(min_length=1, max_length=100)
    superuser: bool = Field(default=False, description="true: it may use this API.")
    metrics: bool = Field(default=False, description="true: it may read metrics, and is good for nothing else.")
    expires_in: float | None = Field(default=None, ge=1, description="Seconds; null: it never expires.")
    claims: dict[str, Any] = Field(default={}, description="What access rules read as @request.auth.*.")


class NewProxy(config.Proxy):
    """A proxy, as it would stand in the configuration file. In a PUT with the version that it replaces."""

    version: int | None = Field(default=None, ge=1, description="The version that is replaced; or send If-Match.")


class ProxyPatch(BaseModel):
    """Some keys of a proxy (RFC 7396); null puts a key back to its default."""

    model_config = ConfigDict(extra="allow")
    version: int | None = Field(default=None, ge=1)


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FieldError(Answer):
    path: str
    message: str


class Error(BaseModel):
    """The same shape as the data plane's; some codes add keys (``current``, ``retry_after``)."""

    error: str
    details: str
    code: str
    request_id: str
    fields: list[FieldError] = []


class State(Answer):
    in_flight: int
    waiting: int
    streams: int
    breaker: str = Field(description="closed, open, half_open or off")
    connections_open: int
    connections_idle: int


class RouteChange(Answer):
    proxy: str
    host: str
    path: str
    change: str


class UpstreamChange(Answer):
    proxy: str
    breaker: str
    limiter: str
    pool: str
    streams: int


class Impact(Answer):
    routes: list[RouteChange]
    upstreams: list[UpstreamChange]
    streams: int


class Applied(Answer):
    generation: int
    error: str


class ProxyAnswer(config.Proxy):
    """A proxy with what is known of it. ``applied`` and ``impact`` stand in the answer to a change."""

    id: str | None
    version: int | None
    created: str | None
    updated: str | None
    source: str
    shadowed_by: str | None
    state: State | None
    impact: Impact | None = None
    applied: Applied | None = None


class ProxyList(Answer):
    """``applied``: how the last reload went, of the file or of the database."""

    items: list[ProxyAnswer]
    page: int
    per_page: int
    total: int
    applied: Applied


class DryRun(Answer):
    dry_run: bool
    proxy: config.Proxy
    impact: Impact


class Deleted(Answer):
    applied: Applied
    impact: Impact | None = None


class SecretAnswer(Answer):
    key: str
    masked_value: str
    description: str
    version: int
    created: str
    updated: str
    used_by: list[str] = []
    applied: Applied | None = None


class SecretList(Answer):
    items: list[SecretAnswer]


class SuperuserAnswer(Answer):
    id: str
    email: str
    created: str


class SuperuserList(Answer):
    items: list[SuperuserAnswer]


class TokenAnswer(Answer):
    id: str
    name: str
    kind: str
    superuser: bool
    metrics: bool
    claims: dict[str, Any]
    created: str
    expires_at: str | None
    last_used: str | None
    token: str | None = Field(default=None, description="The token itself, in the answer to its creation alone.")


class TokenList(Answer):
    items: list[TokenAnswer]


class Session(Answer):
    token: str
    expires_at: str


class Explained(Answer):
    """Why a proxy's protections stand as they stand. Times are seconds of the epoch, null: the protection is off."""

    proxy: str
    at: float
    verdict: Literal["admit", "wait", "probe", "refuse"] = Field(description="What would become of a request now.")
    reason: str = Field(description="The code with which it would be refused.")
    sentence: str
    active: list[dict[str, Any]] = Field(description="Requests that run, the oldest first; 100 at most.")
    active_count: int
    limiter: dict[str, Any] | None
    queue: dict[str, Any] | None
    breaker: dict[str, Any] | None = Field(
        description="With its newest moves, and the outcomes that led to each and that count now."
    )
    pool: dict[str, Any]


class RequestExplained(Answer):
    """What became of a request, or what it does now."""

    request: dict[str, Any] = Field(description="Its log line; of one that runs its proxy, phase and age.")
    running: bool
    sentence: str
    way: list[dict[str, Any]] = Field(description="Where its time went, in milliseconds.")
    reason: dict[str, Any] | None = Field(description="Why it was refused, failed or was cut.")


class AuditEntry(Answer):
    id: int
    at: str
    actor: str
    action: str
    subject: str
    detail: dict[str, Any]


class AuditList(Answer):
    items: list[AuditEntry]
    page: int
    per_page: int
    total: int


class Healthy(BaseModel):
    status: str


class Document(BaseModel):
    """An OpenAPI 3.1 document."""

    openapi: str
