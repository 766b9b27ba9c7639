"""Connections and actions in the file: the flat form, and the form grouped by connector."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from gateway.config import actions as records
from gateway.config import header_template, values
from gateway.config import records as document
from gateway.config.schema.endpoints import Endpoint
from gateway.config.schema.protections import (
    CircuitBreaker,
    CircuitBreakerKey,
    Http2Key,
    Limiter,
    LimiterKey,
    MaxConcurrent,
    Queue,
    QueueKey,
    TimeoutConfig,
    TimeoutConfigKey,
    TlsKey,
)
from gateway.config.schema.section import Section
from gateway.config.schema.types import Bytes, Listed, UpstreamUrl
from gateway.config.schema.upstream import Upstream
from gateway.core.trn import Trn

SHARED: Final = "connection/"
"""Begins the name by which a proxy names the upstream of a connection."""
_POLICY, _RETRY = records.FieldPolicy(), records.Retry()
_CONNECTION = records.Connection("-", "-", "-")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_PATH = re.compile(r"/?[\x21-\x7e]*")
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_-]*)\}")
_TENANT = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_DAY_MS = 86_400_000
_MOST_BYTES = 64 * 1024 * 1024


def _kind(text: str) -> str:
    if text != "http":
        raise ValueError("there is no such connector; write http, or leave it out")
    return text


def _tenant(text: str) -> str:
    if not _TENANT.fullmatch(text):
        raise ValueError("must be 1 to 64 letters, digits, `_`, `.` or `-`; choose such a name")
    return text


def _plain_values(fields: dict[str, str]) -> dict[str, str]:
    for name, value in fields.items():
        header_template.name(name)
        if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
            raise ValueError(f"{name} holds a line break or another control character; remove it")
        try:
            value.encode("latin-1")
        except UnicodeEncodeError:
            raise ValueError(f"{name} holds a character outside Latin-1; write it in ASCII") from None
    return fields


def _lowered(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name.lower() for name in names)


def _action_path(path: str) -> str:
    if not _PATH.fullmatch(path) or "?" in path or "#" in path:
        raise ValueError("must be a path of printable ASCII without ? and #; write parameters in query")
    if any(segment in (".", "..") for segment in path.split("/")):
        raise ValueError("must not have a segment of dots; write the path that is meant")
    if path.startswith("//"):
        raise ValueError("must begin with one slash; the host is that of the connection")
    return path


Name = Annotated[str, AfterValidator(values.proxy_name)]
Fields = Annotated[dict[str, str], AfterValidator(_plain_values)]
Milliseconds = Annotated[int, Field(json_schema_extra={"x-unit": "milliseconds"})]
Names = Annotated[Listed[str], AfterValidator(_lowered)]
Secret = Annotated[str, Field(min_length=1, repr=False, examples=["${API_SECRET}"])]


class NoAuth(Section):
    """Calls carry no credential."""

    type: Literal["none"]

    def record(self) -> records.Auth:
        return records.Auth()


class ApiKey(Section):
    """A key in a header field or a query parameter."""

    type: Literal["api_key"]
    name: str = Field(min_length=1, examples=["X-API-Key"])
    """Its field or parameter. `Authorization` sends it as `Bearer`."""
    value: Secret
    """The key, best as a variable."""
    place: records.Place = Field(default="auto", alias="in", examples=["header"])
    """`header`, `query`, or `auto`: a header field for `Authorization` and names with a `-`, else a parameter."""

    @model_validator(mode="after")
    def _a_field(self) -> Self:
        if self.place == "header" or (
            self.place == "auto" and (self.name.lower() == "authorization" or "-" in self.name)
        ):
            header_template.name(self.name)
        return self

    def record(self) -> records.Auth:
        return records.Auth("api_key", self.name, self.value, self.place)


class Basic(Section):
    """A user and a password (RFC 7617)."""

    type: Literal["basic"]
    username: str = Field(pattern=r"^[^:\x00-\x1f\x7f]*$", examples=["reader"])
    """The user, without a colon."""
    password: Secret
    """The password, best as a variable."""

    def record(self) -> records.Auth:
        return records.Auth("basic", self.username, self.password)


class Bearer(Section):
    """A token (RFC 6750)."""

    type: Literal["bearer"]
    token: Secret
    """The token, best as a variable."""

    def record(self) -> records.Auth:
        return records.Auth("bearer", "", self.token)


class SigV4(Section):
    """AWS Signature Version 4."""

    type: Literal["sigv4"]
    access_key_id: str = Field(min_length=1, pattern=r"^[\x21-\x7e]+$", examples=["AKIDEXAMPLE"])
    """The id of the key."""
    secret_access_key: Secret
    """The key, best as a variable."""
    session_token: str = Field(default="", repr=False, examples=["${AWS_SESSION_TOKEN:-}"])
    """The token of a temporary key; empty: none."""
    region: str = Field(pattern=r"^[a-z0-9-]+$", examples=["eu-central-1"])
    """The region that signs."""
    service: str = Field(pattern=r"^[a-z0-9-]+$", examples=["execute-api"])
    """The service that signs."""

    def record(self) -> records.Auth:
        return records.Auth(
            "sigv4",
            self.access_key_id,
            self.secret_access_key,
            session=self.session_token,
            region=self.region,
            service=self.service,
        )


class Hmac(Section):
    """The HMAC-SHA256 of the body, in hexadecimal, in a header field."""

    type: Literal["hmac"]
    header: Annotated[str, AfterValidator(header_template.name)] = Field(examples=["X-Signature"])
    """The field."""
    secret: Secret
    """The shared secret, best as a variable."""
    prefix: str = Field(default="", pattern=r"^[\x21-\x7e]*$", examples=["sha256="])
    """What stands before the signature."""

    def record(self) -> records.Auth:
        return records.Auth("hmac", self.header, self.secret, prefix=self.prefix)


Auth = Annotated[NoAuth | ApiKey | Basic | Bearer | SigV4 | Hmac, Field(discriminator="type")]


class HttpPolicy(Section):
    """Which header fields a call may have."""

    denied_headers: Names = Field(default=_POLICY.denied, examples=[["host", "connection"]])
    """Fields that are never sent. Those of the connection are left out in any case."""
    reserved_headers: Names = Field(default=_POLICY.reserved, examples=[["authorization"]])
    """With `merge: strict` those that the action sets stay, whatever the connection has."""
    multi_value_append_headers: Names = Field(default=_POLICY.append, examples=[["accept"]])
    """Fields to which each layer adds, instead of replacing what the one before has set."""
    drop_forbidden_headers: bool = Field(default=_POLICY.drop_denied, examples=[False])
    """`true`: a denied field is left out; `false`: it is an error."""
    max_header_value_length: int = Field(default=_POLICY.max_value_length, ge=1, le=65536, examples=[4096])
    """Most characters of a value."""
    max_total_headers: int = Field(default=_POLICY.max_fields, ge=1, le=200, examples=[32])
    """Most fields of a request."""
    allowed_content_types: Names = Field(default=_POLICY.content_types, examples=[["application/json"]])
    """Media types that a request may have; `[]`: all."""
    refuse_scripts: bool = Field(default=_POLICY.refuse_scripts, examples=[False])
    """`true`: values with `<script`, `javascript:` or `data:` are an error. Control characters always are."""

    def record(self) -> records.FieldPolicy:
        return records.FieldPolicy(
            denied=tuple(dict.fromkeys((*self.denied_headers, *_POLICY.denied))),
            reserved=self.reserved_headers,
            append=self.multi_value_append_headers,
            drop_denied=self.drop_forbidden_headers,
            max_value_length=self.max_header_value_length,
            max_fields=self.max_total_headers,
            content_types=self.allowed_content_types,
            refuse_scripts=self.refuse_scripts,
        )


Preset = Literal["once", "standard", "api", "background", "health", "aggressive", "conservative"]
PRESETS: Final[Mapping[str, records.Retry]] = {
    "once": records.Retry(retries=0),
    "standard": records.Retry(),
    "api": records.Retry(most=16.0, total=60.0),
    "background": records.Retry(retries=5, base=2.0, most=60.0, total=600.0),
    "health": records.Retry(retries=1, base=0.5, most=1.0, factor=1.0, jitter="none", total=10.0),
    "aggressive": records.Retry(
        base=0.05, most=5.0, factor=1.5, jitter="none", statuses=(408, 429, 500, 502, 503, 504), total=0.0
    ),
    "conservative": records.Retry(retries=1, most=10.0, jitter="none", statuses=(429, 503, 504), total=0.0),
}
"""Policies that have a name, with retries besides the first attempt."""


class Retry(Section):
    """How often a call is made again. Keys that are not written are those of the preset."""

    preset: Preset = Field(default="standard", examples=["api"])
    """`once` (no retry), `standard`, `api`, `background`, `health`, `aggressive` or `conservative`."""
    max_retries: int | None = Field(default=None, ge=0, le=10, examples=[2])
    """Attempts besides the first one."""
    base_delay_ms: Milliseconds | None = Field(default=None, ge=1, le=_DAY_MS, examples=[200])
    """The first pause."""
    max_delay_ms: Milliseconds | None = Field(default=None, ge=1, le=_DAY_MS, examples=[5000])
    """The longest pause; also of what Retry-After asks for."""
    factor: float | None = Field(default=None, ge=1, le=10, examples=[2.0])
    """How much longer each pause is than the one before."""
    jitter: Literal["none", "full"] | None = Field(default=None, examples=["full"])
    """`full`: each pause lies at random between 0 and its length."""
    retry_status_codes: Listed[Annotated[int, Field(ge=400, le=599)]] | None = Field(
        default=None, examples=[[429, 503]]
    )
    """Statuses after which a call is made again."""
    respect_retry_after: bool | None = Field(default=None, examples=[False])
    """Whether the pause is the one that Retry-After asks for."""
    total_ms: Milliseconds | None = Field(default=None, ge=0, le=_DAY_MS, examples=[60000])
    """In which time the last attempt has to begin; `0`: no limit."""
    retry_non_idempotent: bool = Field(default=False, examples=[True])
    """Whether POST and PATCH are sent again without an Idempotency-Key. The third party may then do it twice."""

    def record(self) -> records.Retry:
        known = PRESETS[self.preset]
        base, most, total = self.base_delay_ms, self.max_delay_ms, self.total_ms
        return records.Retry(
            retries=known.retries if self.max_retries is None else self.max_retries,
            base=known.base if base is None else base / 1000,
            most=known.most if most is None else most / 1000,
            factor=known.factor if self.factor is None else self.factor,
            jitter=known.jitter if self.jitter is None else self.jitter,
            statuses=known.statuses if self.retry_status_codes is None else self.retry_status_codes,
            respect_retry_after=(
                known.respect_retry_after if self.respect_retry_after is None else self.respect_retry_after
            ),
            total=known.total if total is None else total / 1000,
            non_idempotent=self.retry_non_idempotent,
        )


def _retry(value: object) -> object:
    return {"preset": value} if isinstance(value, str) else value


RetryKey = Annotated[Retry | None, BeforeValidator(_retry, json_schema_input_type=Preset | Retry | None)]


class Connection(Section):
    """A third party: where it is, how to authenticate there, and what protects it."""

    kind: Annotated[str, AfterValidator(_kind)] = Field(default="http", examples=["http"])
    """The connector: `http`."""
    tenant: Annotated[str, AfterValidator(_tenant)] = Field(default=records.DEFAULT_TENANT, examples=["default"])
    """Whose it is. What belongs to another tenant is not there for a caller."""
    description: str = Field(default="", max_length=1000, examples=["The API of the shop"])
    """What it is, for people."""
    base_url: UpstreamUrl = Field(examples=["https://api.example.org/v1"])
    """Where it is: `http://` or `https://`, with a base path."""
    auth: Auth | None = Field(default=None, examples=[{"type": "bearer", "token": "a token"}])
    """How calls authenticate; `null`: not at all."""
    headers: Fields = Field(default={}, repr=False, examples=[{"Accept": "application/json"}])
    """Header fields of each call."""
    query: dict[str, str] = Field(default={}, repr=False, examples=[{"api-version": "1"}])
    """Query parameters of each call."""
    body: dict[str, Any] = Field(default={}, repr=False, examples=[{"source": "gateway"}])
    """Members that the JSON body of each call gets."""
    merge: records.Merge = Field(default=_CONNECTION.merge, examples=["strict"])
    """`layered`: action and input replace what the connection sets. `strict`: they do not."""
    http_policy: HttpPolicy = Field(default=HttpPolicy())
    """Which header fields a call may have."""
    retry: RetryKey = Field(default=None, examples=["api"])
    """How often a call is made again: the name of a preset, or its keys. `null`: `standard`; with `merge: strict`
    not at all."""
    timeout_ms: Milliseconds = Field(default=int(_CONNECTION.timeout * 1000), ge=1, le=3_600_000, examples=[10000])
    """For a whole call, with its retries."""
    max_response_bytes: Bytes = Field(default=_CONNECTION.max_bytes, ge=1, le=_MOST_BYTES, examples=[65536])
    """The longest body of a response."""
    max_concurrent: MaxConcurrent = 0
    limiter: LimiterKey = Limiter()
    queue: QueueKey = Queue()
    circuit_breaker: CircuitBreakerKey = CircuitBreaker()
    timeout_config: TimeoutConfigKey = TimeoutConfig()
    tls: TlsKey = None
    http2: Http2Key = "auto"

    def shared_name(self, name: str) -> str:
        """By which proxies name its upstream."""
        tenant = "" if self.tenant == records.DEFAULT_TENANT else f"{self.tenant}/"
        return f"{SHARED}{tenant}{name}"

    def upstream(self, name: str) -> Upstream:
        """As an entry of `upstreams` would have it."""
        return Upstream.model_construct(
            name=self.shared_name(name),
            endpoints=(Endpoint(url=self.base_url),),
            max_concurrent=self.max_concurrent,
            limiter=self.limiter,
            queue=self.queue,
            circuit_breaker=self.circuit_breaker,
            timeout_config=self.timeout_config,
            tls=self.tls,
            http2=self.http2,
        )

    def trn(self, name: str) -> Trn:
        return Trn(self.tenant, "connection", self.kind, name, 1)

    def record(self, name: str) -> records.Connection:
        """``name``: the key that it stands under."""
        retry = self.retry.record() if self.retry is not None else None
        if retry is None:
            retry = PRESETS["once" if self.merge == "strict" else "standard"]
        return records.Connection(
            trn=str(self.trn(name)),
            base_url=self.base_url,
            upstream=f"{document.NAMED}{self.shared_name(name)}",
            auth=self.auth.record() if self.auth is not None else records.Auth(),
            headers=self.headers,
            query=self.query,
            body=self.body,
            fields=self.http_policy.record(),
            retry=retry,
            timeout=self.timeout_ms / 1000,
            merge=self.merge,
            max_bytes=self.max_response_bytes,
            description=self.description,
        )


class Parameter(Section):
    """A value that the caller of an action gives."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$", examples=["owner"])
    """Its name: letters, digits, `_` and `-`."""
    type: Literal["string", "integer", "number", "boolean", "array", "object"] = Field(
        default="string", examples=["integer"]
    )
    """Its type in JSON."""
    place: records.ParameterPlace | None = Field(default=None, alias="in", examples=["query"])
    """Where it goes: `path`, `query`, `header` or `body`. `null`: into the path where `{name}` stands there, else into
    the query of GET, HEAD and DELETE, and into the body of others."""
    required: bool = Field(default=False, examples=[True])
    """Whether it must be given."""
    default: Any = Field(default=None, examples=[20])
    """Its value when it is not given; `null`: none."""
    description: str = Field(default="", max_length=1000, examples=["Who owns it"])
    """What it is, for people."""
    enum: Listed[Any] | None = Field(default=None, examples=[["open", "closed"]])
    """The only values that it may have."""
    schema_: dict[str, Any] = Field(default={}, alias="schema", examples=[{"maxLength": 39}])
    """More of its JSON Schema."""

    def record(self, action: Action) -> records.Parameter:
        place = self.place
        if place is None:
            bodiless = action.method in ("GET", "HEAD", "DELETE")
            place = "path" if self.name in _PLACEHOLDER.findall(action.path) else "query" if bodiless else "body"
        schema: dict[str, Any] = {"type": self.type, **self.schema_}
        if self.description:
            schema["description"] = self.description
        if self.enum is not None:
            schema["enum"] = list(self.enum)
        required = self.required or place == "path"
        return records.Parameter(self.name, place, schema, required, self.default)


class Body(Section):
    """The body of a request; texts in it may hold `{name}` for parameters."""

    type: Literal["json", "form", "text", "raw"] = Field(default="json", examples=["form"])
    """`json`, `form` (URL-encoded), or `text` and `raw`: as it is."""
    value: Any = Field(default=None, examples=[{"title": "{title}"}])
    """What is sent."""
    content_type: str = Field(default="", pattern=r"^[\x20-\x7e]*$", examples=["application/merge-patch+json"])
    """Its media type; empty: the usual one."""

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        if self.type in ("text", "raw") and not isinstance(self.value, str):
            raise ValueError("the value of a body of text must be text; write it in quotes")
        if self.type == "form" and not isinstance(self.value, dict):
            raise ValueError("the value of a form must be a mapping; write names and values")
        return self

    def record(self) -> records.Body:
        if self.type in ("text", "raw"):
            return records.Body("text", self.value, self.content_type)
        return records.Body("form" if self.type == "form" else "json", self.value, self.content_type)


class ActionLimits(Section):
    """Bounds of one action."""

    timeout_ms: Milliseconds | None = Field(default=None, ge=1, le=3_600_000, examples=[2000])
    """For a whole call, with its retries; `null`: that of the connection."""
    max_bytes: Bytes | None = Field(default=None, ge=1, le=_MOST_BYTES, examples=[65536])
    """The longest body of a response; `null`: that of the connection."""


class Action(Section):
    """One call that is made by its name."""

    connection: Name = Field(examples=["shop"])
    """The name of its connection."""
    kind: Annotated[str, AfterValidator(_kind)] = Field(default="http", examples=["http"])
    """The connector: that of the connection."""
    description: str = Field(default="", max_length=1000, examples=["Find an order"])
    """What it does, for people."""
    method: Annotated[str, Field(pattern=rf"^({'|'.join(_METHODS)})$")] = Field(default="GET", examples=["POST"])
    """The method."""
    path: Annotated[str, AfterValidator(_action_path)] = Field(default="/", examples=["/orders/{id}"])
    """The path behind the base path of the connection, with `{name}` for parameters."""
    headers: Fields = Field(default={}, repr=False, examples=[{"Accept": "application/json"}])
    """Header fields, with `{name}` for parameters."""
    query: dict[str, str] = Field(default={}, repr=False, examples=[{"limit": "20"}])
    """Query parameters, with `{name}` for parameters."""
    body: Body | None = Field(default=None, repr=False, examples=[{"type": "json", "value": {"title": "a title"}}])
    """The body of the request; `null`: the parameters that go there, or none."""
    parameters: Listed[Parameter] = Field(default=(), examples=[[{"name": "id", "required": True}]])
    """What a caller may give. `[]`: names in the path, and what the input has."""
    input_schema: dict[str, Any] | None = Field(default=None, examples=[{"type": "object"}])
    """The JSON Schema of the input; `null`: that of `parameters`."""
    http_policy: HttpPolicy | None = Field(default=None)
    """Which header fields a call may have; `null`: the policy of the connection."""
    retry: RetryKey = Field(default=None, examples=["once"])
    """How often a call is made again; `null`: the policy of the connection."""
    timeout_ms: Milliseconds | None = Field(default=None, ge=1, le=3_600_000, examples=[2000])
    """For a whole call, with its retries; `null`: that of the connection."""
    limits: ActionLimits = Field(default=ActionLimits())
    """Bounds of this action."""

    @model_validator(mode="before")
    @classmethod
    def _both_forms(cls, data: object) -> object:
        """`config: {...}` and `request_body` are other ways to write the same keys."""
        if not isinstance(data, dict):
            return data
        found = dict(data)
        inner = found.pop("config", {})
        if not isinstance(inner, dict) or inner.keys() & found.keys():
            raise ValueError("config must be a mapping of keys that stand nowhere else here; write each key once")
        found |= inner
        if "request_body" in found:
            if "body" in found:
                raise ValueError("body and request_body are the same; write one of them")
            found["body"] = {"type": "json", "value": found.pop("request_body")}
        if "query_params" in found and "query" not in found:
            found["query"] = found.pop("query_params")
        return found

    @model_validator(mode="after")
    def _known_names(self) -> Self:
        names = [each.name for each in self.parameters]
        if len(set(names)) < len(names):
            raise ValueError("two parameters have the same name; change or remove one of them")
        if self.parameters:
            missing = [name for name in self._placeholders() if name not in names]
            if missing:
                raise ValueError(f"{{{missing[0]}}} is no parameter of this action; add it to parameters")
        return self

    def _placeholders(self) -> Iterator[str]:
        for template in (self.path, *self.headers.values(), *self.query.values()):
            yield from _PLACEHOLDER.findall(template)

    def record(self, name: str, connection: Trn) -> records.Action:
        """``name``: the key that it stands under. ``connection``: the TRN of its connection."""
        timeout = self.timeout_ms or self.limits.timeout_ms or 0
        return records.Action(
            trn=str(Trn(connection.tenant, "action", connection.connector, name, 1)),
            connection=str(connection),
            method=self.method,
            path=self.path,
            headers=self.headers,
            query=self.query,
            body=self.body.record() if self.body is not None else None,
            parameters=tuple(each.record(self) for each in self.parameters),
            input_schema=self.input_schema,
            fields=self.http_policy.record() if self.http_policy is not None else None,
            retry=self.retry.record() if self.retry is not None else None,
            timeout=timeout / 1000,
            max_bytes=self.limits.max_bytes or 0,
            description=self.description,
        )


class Group(Section):
    """The connections and actions of one connector."""

    connections: dict[Name, Connection] = Field(default={})
    """Connections by name."""
    actions: dict[Name, Action] = Field(default={})
    """Actions by name."""


class Connectors(Section):
    """Connections and actions, grouped by connector."""

    http: Group = Field(default=Group())
    """Those of HTTP."""
