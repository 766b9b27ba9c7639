"""What connections and actions of every connector but `http` have in common. A connector adds its own keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from gateway.config import actions as records
from gateway.config import records as document
from gateway.config.input_schema import validator
from gateway.config.schema.actions import ActionLimits, Parameter
from gateway.config.schema.call_policy import PRESETS, Milliseconds, RetryKey
from gateway.config.schema.connections import MOST_BYTES, Name, Tenant, shared_name
from gateway.config.schema.endpoints import Endpoint
from gateway.config.schema.protections import CircuitBreaker, CircuitBreakerKey, Limiter, LimiterKey
from gateway.config.schema.queue import Queue, QueueKey
from gateway.config.schema.rate_limits import UpstreamRateLimitsKey
from gateway.config.schema.section import Section
from gateway.config.schema.types import Bytes, Listed, Requests
from gateway.config.schema.upstream import Upstream
from gateway.core.trn import Trn, versioned

_CONNECTION = records.Connection("-", "-", "-")


class ConnectorConnection(Section):
    """A back end that speaks something else than HTTP: where it is, and what protects it."""

    worded_apart: ClassVar[bool] = True
    kind: str = Field(examples=["sql"])
    """The connector."""
    tenant: Tenant = Field(default=records.DEFAULT_TENANT, examples=["acme"])
    """Whose it is. What belongs to another tenant is not there for a caller."""
    description: str = Field(default="", max_length=1000, examples=["The orders of the shop"])
    """What it is, for people."""
    retry: RetryKey = Field(default=None, examples=["api"])
    """How often a call that may be made twice is made again: the name of a preset, or its keys. `null`: `standard`."""
    timeout_ms: Milliseconds = Field(default=int(_CONNECTION.timeout * 1000), ge=1, le=3_600_000, examples=[10000])
    """For a whole call, with its retries."""
    max_response_bytes: Bytes = Field(default=_CONNECTION.max_bytes, ge=1, le=MOST_BYTES, examples=[65536])
    """The longest result, as JSON."""
    max_concurrent: Requests = Field(default=10, ge=1, le=1000, title="Most calls at a time", examples=[5])
    """Most calls at a time, of all workers together; a worker opens as many connections at most."""
    limiter: LimiterKey = Limiter()
    queue: QueueKey = Queue()
    rate_limits: UpstreamRateLimitsKey = ()
    circuit_breaker: CircuitBreakerKey = CircuitBreaker()

    def place(self) -> str:
        """Where it is, as ``scheme://host:port``: for log, explanations and `upstream_networks`. Never a credential."""
        return f"{self.kind}://"

    @property
    def base_url(self) -> str:
        """As `place`, by the name that connections of HTTP have for it."""
        return self.place()

    def urls(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """As those of a connection of HTTP. It has no key of its own for where it is."""
        yield (), self.place()

    def secrets(self) -> tuple[str, ...]:
        """Values that are shown nowhere."""
        return ()

    def receiver(self) -> object:
        """What says who gets its secrets: when it changes, they have to be given again. By default all that a kind
        itself adds, because only the kind knows which of its keys lead somewhere."""
        own = type(self).model_fields.keys() - ConnectorConnection.model_fields.keys()
        hidden = {name for name in own if not type(self).model_fields[name].repr}
        return self.model_dump(mode="json", include=own - hidden)

    @classmethod
    def of_this_machine(cls, settings: Mapping[str, object]) -> Iterator[tuple[str, ...]]:
        """The places in ``settings``, which were not checked, that name files or sockets of the gateway's machine."""
        yield from ()

    def authenticates(self) -> records.AuthKind:
        """How, in a word; never by what."""
        return "none"

    def shared_name(self, name: str) -> str:
        """By which log, metrics and explanations know it."""
        return shared_name(self.tenant, name)

    def upstream(self, name: str) -> Upstream:
        """As an entry of `upstreams` would have it. ``name``: the key that it stands under."""
        return Upstream.model_construct(
            name=self.shared_name(name),
            endpoints=(Endpoint.model_construct(url=self.place()),),
            max_concurrent=self.max_concurrent,
            limiter=self.limiter,
            queue=self.queue,
            rate_limits=self.rate_limits,
            circuit_breaker=self.circuit_breaker,
            http2="never",
        )

    def trn(self, name: str) -> Trn:
        return Trn(self.tenant, "connection", self.kind, name, 1)

    def record(self, name: str) -> records.Connection:
        """``name`` as in `upstream`."""
        return records.Connection(
            trn=str(self.trn(name)),
            base_url=self.place(),
            upstream=f"{document.NAMED}{self.shared_name(name)}",
            auth=records.Auth(self.authenticates()),  # the word alone: the connector reads the rest in its settings
            retry=PRESETS["standard"] if self.retry is None else self.retry.record(),
            timeout=self.timeout_ms / 1000,
            max_bytes=self.max_response_bytes,
            description=self.description,
            kind=self.kind,
            settings=written(self),
        )


class ConnectorAction(Section):
    """One call that is made by its name."""

    worded_apart: ClassVar[bool] = True
    connection: Name = Field(examples=["orders"])
    """The name of its connection."""
    kind: str = Field(default="", examples=["sql"])
    """The connector: that of the connection, so that it need not be written."""
    enabled: bool = Field(default=True, examples=[False])
    """`false`: it is switched off, and is not there for a caller."""
    description: str = Field(default="", max_length=1000, examples=["Find an order"])
    """What it does, for people."""
    parameters: Listed[Parameter] = Field(default=(), examples=[[{"name": "id", "type": "integer"}]])
    """What a caller may give. `[]`: the names that the action uses, each of any type."""
    input_schema: dict[str, Any] | None = Field(default=None, examples=[{"type": "object"}])
    """The JSON Schema of the input; `null`: that of `parameters`."""
    retry: RetryKey = Field(default=None, examples=["once"])
    """How often a call that may be made twice is made again; `null`: the policy of the connection."""
    timeout_ms: Milliseconds | None = Field(default=None, ge=1, le=3_600_000, examples=[2000])
    """For a whole call, with its retries; `null`: that of the connection."""
    limits: ActionLimits = Field(default=ActionLimits())
    """Bounds of this action."""

    @property
    def speaks(self) -> str:
        """The kind that its connection must have."""
        return self.kind

    @field_validator("input_schema")
    @classmethod
    def _a_schema(cls, schema: dict[str, Any] | None) -> dict[str, Any] | None:
        if schema is not None:
            validator(schema)
        return schema

    @model_validator(mode="after")
    def _known_names(self) -> Self:
        names = [each.name for each in self.parameters]
        if len(set(names)) < len(names):
            raise ValueError("two parameters have the same name; change or remove one of them")
        if self.parameters:
            missing = [name for name in self.names() if name not in names]
            if missing:
                raise ValueError(f"{missing[0]} is no parameter of this action; add it to parameters")
            unused = [name for name in names if name not in self.names()]
            if unused and self.names():
                raise ValueError(f"the parameter {unused[0]} stands nowhere in this action; use or remove it")
        return self

    def names(self) -> Sequence[str]:
        """The names of the input that it uses, each once."""
        return ()

    def repeatable(self) -> bool:
        """Whether a call may be made twice without harm."""
        return False

    def reads(self) -> bool:
        """Whether a call changes nothing."""
        return False

    def summary(self) -> str:
        """What it does, in a line for lists."""
        return ""

    def plan(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a call with this input would do, for a dry run. Names of values are as in the input."""
        return {"input": dict(given)}

    def trn(self, name: str, tenant: str) -> Trn:
        """``name``: with its version."""
        return Trn(tenant, "action", self.kind, *versioned(name))

    def record(self, name: str, connection: Trn) -> records.Action:
        """``name``: the key that it stands under, with its version. ``connection``: the TRN of its connection."""
        timeout = self.timeout_ms or self.limits.timeout_ms or 0
        return records.Action(
            trn=str(self.trn(name, connection.tenant)),
            connection=str(connection),
            method=connection.connector.upper(),
            path=self.summary(),
            parameters=self._parameters(),
            input_schema=self.input_schema,
            retry=self.retry.record() if self.retry is not None else None,
            timeout=timeout / 1000,
            max_bytes=self.limits.max_bytes or 0,
            description=self.description,
            settings=written(self),
        )

    def _parameters(self) -> tuple[records.Parameter, ...]:
        if not self.parameters:
            return tuple(records.Parameter(name, "template", required=True) for name in self.names())
        return tuple(
            records.Parameter(each.name, "template", each.json_schema(), each.required, each.default)
            for each in self.parameters
        )


def written(section: Section) -> dict[str, Any]:
    """What stands in the file, as JSON; `read` makes the section of it again."""
    return section.model_dump(mode="json", by_alias=True, exclude_unset=True)
