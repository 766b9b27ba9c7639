"""Bodies of requests and responses, as pydantic models: what is checked, and what the OpenAPI document shows."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.config.schema import proxy as config


class Body(BaseModel):
    """A request body: unknown keys are rejected, nothing is converted; errors never quote the input."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True)


class Login(Body):
    email: str = Field(max_length=254)
    password: str = Field(max_length=1000, repr=False, json_schema_extra={"writeOnly": True})


class NewSuperuser(Login):
    """A superuser to be created; the password has 10 to 1000 characters."""


class PasswordChange(Body):
    """A superuser's own password; the new one has 10 to 1000 characters."""

    current: str = Field(max_length=1000, repr=False, json_schema_extra={"writeOnly": True})
    password: str = Field(max_length=1000, repr=False, json_schema_extra={"writeOnly": True})


class NewPassword(Body):
    """Another superuser's password; it has 10 to 1000 characters."""

    password: str = Field(max_length=1000, repr=False, json_schema_extra={"writeOnly": True})
    tokens: bool = Field(default=False, description="true: the superuser tokens that this superuser made end too.")


class NewSecret(Body):
    value: str = Field(min_length=1, max_length=4096, repr=False, json_schema_extra={"writeOnly": True})
    description: str = Field(default="", max_length=1000)
    origins: list[str] | None = Field(
        default=None,
        max_length=100,
        description="The only upstream origins it may be sent to, as in https://api.example.org; []: every one; null: "
        "unchanged.",
    )


class SecretBinding(Body):
    """The origins that a secret may be sent to."""

    origins: list[str] = Field(
        max_length=100, description="Upstream origins, as in https://api.example.org; []: every one."
    )


class NewToken(Body):
    name: str = Field(min_length=1, max_length=100)
    superuser: bool = Field(default=False, description="true: it may use this API.")
    metrics: bool = Field(default=False, description="true: it may read metrics, and nothing else.")
    expires_in: float | None = Field(
        default=None,
        ge=0,
        description="Seconds; 0: it never expires; null: 90 days for a superuser token, never for others.",
    )
    claims: dict[str, object] = Field(default={}, description="What access rules read as @request.auth.*.")


class NewProxy(config.Proxy):
    """A proxy, as it would stand in the configuration file. In a PUT with the version that it replaces."""

    version: int | None = Field(default=None, ge=1, description="The version that is replaced; or send If-Match.")


class ProxyPatch(BaseModel):
    """Some keys of a proxy (RFC 7396); null resets a key to its default."""

    model_config = ConfigDict(extra="allow")
    version: int | None = Field(default=None, ge=1)


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FieldError(Answer):
    path: str = Field(description="Keys that lead to the value, with dots.")
    message: str = Field(description="What is wrong with it, and how to fix it.")


class Error(BaseModel):
    """The same shape as the data plane's; some codes add keys (``current``, ``retry_after``)."""

    error: str = Field(description="A title for people.")
    details: str = Field(description="What is wrong, and what to do.")
    code: str = Field(description="The code for programs; also in X-Gateway-Reason.")
    request_id: str
    fields: list[FieldError] = Field(default=[], description="The values that are wrong.")


class State(Answer):
    in_flight: int = Field(description="Permits in use.")
    waiting: int = Field(description="Requests in the queue.")
    streams: int = Field(description="Running exchanges.")
    breaker: str = Field(description="closed, open, half_open or off")
    connections_open: int = Field(description="Connections to the upstream, idle and in use.")
    connections_idle: int


class RouteChange(Answer):
    proxy: str
    host: str = Field(description="* for every host.")
    path: str
    change: str = Field(description="added, removed or changed")


class UpstreamChange(Answer):
    """What happens to the state of a proxy: kept, made, replaced, resized, reset, dropped or none."""

    proxy: str
    breaker: str
    limiter: str
    pool: str
    streams: int = Field(description="Running exchanges; they finish under the old settings.")


class Impact(Answer):
    """What a change touches, or would touch."""

    routes: list[RouteChange]
    upstreams: list[UpstreamChange]
    streams: int = Field(description="Running exchanges of all touched proxies.")


class Applied(Answer):
    """Whether the data plane has applied it."""

    generation: int = Field(description="Counts the applied configurations.")
    error: str = Field(description="Why it is not applied; empty when it is.")


class ProxyAnswer(config.Proxy):
    """A proxy with its state. ``applied`` and ``impact`` are part of the response to a change."""

    id: str | None = Field(description="null: it stands in the file.")
    version: int | None = Field(description="null: it stands in the file.")
    created: str | None
    updated: str | None
    source: str = Field(description="database, or the file.")
    shadowed_by: str | None = Field(description="What hides it: the file has the same name or route.")
    state: State | None = Field(description="null: it is not served, or the worker did not respond.")
    impact: Impact | None = None
    applied: Applied | None = None


class ProxyList(Answer):
    """``applied``: the result of the last reload, of the file or of the database."""

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
    masked_value: str = Field(description="Asterisks, and the last four characters of a long value.")
    description: str
    origins: list[str] = Field(description="The only upstream origins it may be sent to; none: every one.")
    version: int
    created: str
    updated: str
    used_by: list[str] = Field(default=[], description="Proxies whose headers name it.")
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
    claims: dict[str, object]
    created: str
    expires_at: str | None
    last_used: str | None
    maker: str | None = Field(description="Who made it; null: it was made before makers were recorded.")
    ends_with_maker: bool = Field(description="It ends when its maker is no longer a superuser.")
    token: str | None = Field(default=None, description="The token itself, only in the response to its creation.")


class TokenList(Answer):
    items: list[TokenAnswer]


class Session(Answer):
    token: str
    expires_at: str


class SessionEntry(Answer):
    """A valid login."""

    id: str
    email: str
    client: str | None = Field(description="The address that sent it.")
    created: str
    expires_at: str
    current: bool = Field(description="It is the login of this request.")


class SessionList(Answer):
    items: list[SessionEntry]


class PasswordChanged(Answer):
    id: str
    email: str


class WorkerAnswer(Answer):
    """A process that serves traffic."""

    worker: int = Field(description="Its number, from 0.")
    pid: int
    state: Literal["starting", "serving", "draining", "silent"] = Field(
        description="silent: it does not respond to the control process; draining: another process has taken over."
    )
    since: float = Field(description="When it was started, in seconds of the epoch.")
    starts: int = Field(description="Processes that were started for this worker.")
    crash_loop: bool = Field(description="They end soon after their start, again and again.")
    recycled: int = Field(description="Replacements because the memory stayed above `worker_max_memory`.")
    memory_bound_too_small: bool = Field(
        description="A fresh process has more than `worker_max_memory`, so none is replaced for its memory."
    )
    version: str
    generation: int = Field(description="The configuration that it serves; 0: none yet.")
    requests: int = Field(description="Finished at this place, also by processes before it.")
    connections: int
    in_flight: int
    memory_bytes: int = Field(description="Proportional set size; 0: unknown.")
    resident_bytes: int = Field(description="Resident set size, as `worker_max_memory` bounds it; 0: unknown.")
    fresh_bytes: int = Field(description="The resident set size 5 seconds after it began to serve; 0: unknown.")
    loop_lag: float = Field(description="Seconds: how late its timers rang at worst, of late.")
    shedding: float = Field(description="Share of its new requests that it refuses as `overloaded`, 0 to 1.")


class WorkerList(Answer):
    items: list[WorkerAnswer]
    max_memory_bytes: int = Field(description="`worker_max_memory`; 0: no bound.")


class WorkersRestarted(Answer):
    workers: int = Field(description="How many are being replaced.")


class UpgradeBegun(Answer):
    version: str = Field(description="Of the programs that are installed now.")
    workers: int = Field(description="How many are being replaced.")


class Explained(Answer):
    """Why a proxy's protections are in their state. Times are seconds of the epoch, null: the protection is off."""

    proxy: str
    at: float
    verdict: Literal["admit", "wait", "probe", "refuse"] = Field(description="What would happen to a request now.")
    reason: str = Field(description="The code with which it would be refused.")
    sentence: str
    active: list[dict[str, object]] = Field(description="Running requests, the oldest first; 100 at most.")
    active_count: int
    limiter: dict[str, object] | None
    queue: dict[str, object] | None
    breaker: dict[str, object] | None = Field(
        description="With its newest moves, and the outcomes that led to each and that count now. Of several "
        "endpoints, the one that lets most through."
    )
    upstream_breaker: dict[str, object] | None = Field(
        default=None, description="As `breaker`: of the upstream as a whole, where its endpoints have breakers, too."
    )
    group: dict[str, object] | None = Field(default=None, description="Endpoints, where there are several or checks.")
    rates: list[dict[str, object]] = Field(default=[], description="Rate limits: settings, and keys that are held.")
    stream: dict[str, object] | None = Field(default=None, description="Streams of events: bounds, longest wait.")
    retries: dict[str, object] | None = Field(default=None, description="Retries: settings, and what is left of them.")
    hedge: dict[str, object] | None = Field(default=None, description="Hedges: settings, measured time, budget.")
    adaptive: dict[str, object] | None = Field(default=None, description="Of a limit that adapts: its decisions.")
    token: dict[str, object] | None = Field(
        default=None, description="The access token of a connection, without its value."
    )
    fallback: dict[str, object] | None = Field(default=None, description="What takes over, when, and its state.")
    pool: dict[str, object]


class RequestExplained(Answer):
    """What happened to a request, or its current phase."""

    request: dict[str, object] = Field(
        description="Its log line; of a running one its proxy, phase, protocols and age."
    )
    running: bool
    sentence: str
    way: list[dict[str, object]] = Field(description="Where its time went, in milliseconds.")
    reason: dict[str, object] | None = Field(description="Why it was refused, failed or was cut.")


class AuditEntry(Answer):
    id: int
    at: str
    actor: str = Field(description="Who did it.")
    action: str = Field(description="What was done, as in proxy.update.")
    subject: str = Field(description="To what.")
    detail: dict[str, object]
    client: str | None = Field(description="The address from which it was done.")
    credential: str | None = Field(description="The id of the token or login with which it was done.")
    before: dict[str, object] | None = Field(description="The changed values before the change; secrets are masked.")
    after: dict[str, object] | None = Field(description="The values after the change; secrets are masked.")


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
