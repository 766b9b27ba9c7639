"""Front doors in the file, where clients of the Model Context Protocol list actions and call them."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from gateway.config import mcp, records, values
from gateway.config.schema.connections import Tenant
from gateway.config.schema.protections import Limiter, LimiterKey, MaxConcurrent
from gateway.config.schema.proxy import AccessRule
from gateway.config.schema.queue import Queue, QueueKey
from gateway.config.schema.rate_limits import RateLimitsKey
from gateway.config.schema.records import record_of
from gateway.config.schema.section import Section
from gateway.config.schema.types import Bytes, Host, Listed

_DOOR = mcp.Mcp()
_ROUTE = records.Route("-", "/", "-")
Patterns = Listed[Annotated[str, Field(pattern=r"^[A-Za-z0-9_.*?-]{1,128}$")]]


def _named_origin(text: str) -> str:
    origin = values.page_origin(text)
    if origin == "*":
        raise ValueError("every page could call the tools with what its visitor may do; list the origins instead of *")
    return origin


class ToolRule(Section):
    """Who may see and call some of the tools."""

    actions: Patterns = Field(min_length=1, examples=[["delete-*"]])
    """Patterns of the names of actions, as in `allow`."""
    access_rule: AccessRule = Field(
        default=mcp.ToolRule(()).access_rule, max_length=2000, examples=["@request.auth.role = 'admin'"]
    )
    """Which callers have these tools, as the key of the same name of a proxy. Others do not see them."""


class Mcp(Section):
    """A path where clients of the Model Context Protocol (MCP) list actions as tools, and call them."""

    name: Annotated[str, AfterValidator(values.proxy_name)] = Field(examples=["tools"])
    """The name in logs and metrics, behind `mcp/`: 1 to 60 letters, digits, `_`, `.` and `-`; unique among the front
    doors."""
    path: Annotated[str, AfterValidator(values.route_path)] = Field(examples=["/mcp"])
    """Where it is served, as the key of the same name of a proxy."""
    hosts: Listed[Host] = Field(default=_ROUTE.hosts, examples=[["example.org"]])
    """Hosts to serve, as the key of the same name of a proxy. Empty: every host."""
    access_rule: AccessRule = Field(
        default=_ROUTE.access_rule, max_length=2000, examples=["@request.auth.role = 'admin'"]
    )
    """Which callers are admitted, as the key of the same name of a proxy."""
    active: bool = Field(default=_ROUTE.active, examples=[False])
    """`false`: it is switched off and responds with 404."""
    tenant: Tenant = Field(default=_DOOR.tenant, examples=["acme"])
    """Whose actions it has. Those of other tenants are not there."""
    allow: Patterns = Field(default=_DOOR.allow, examples=[["get-*", "sql.*"]])
    """Patterns of the names of the actions that it has, with `*` and `?`: of the name alone, or of `CONNECTOR.NAME`."""
    deny: Patterns = Field(default=_DOOR.deny, examples=[["delete-*"]])
    """Patterns of the names of the actions that it does not have, whatever `allow` says."""
    rules: Listed[ToolRule] = Field(default=(), examples=[[{"actions": ["delete-*"], "access_rule": "false"}]])
    """Who may see and call some of the tools. A caller must be admitted by each rule that has the action."""
    origins: Listed[Annotated[str, AfterValidator(_named_origin)]] = Field(
        default=_DOOR.origins, examples=[["https://app.example.org"]]
    )
    """Origins of the pages that may call it. A request with an `Origin` that is not among them gets 403, because a page
    could otherwise reach it by the browser of its visitor (DNS rebinding)."""
    instructions: str = Field(default=_DOOR.instructions, max_length=4000, examples=["Orders of the shop."])
    """What clients tell the model about all of the tools."""
    max_body_bytes: Bytes = Field(default=_DOOR.max_body_bytes, ge=1024, le=64 * 1024 * 1024, examples=[65536])
    """The longest body of a request."""
    max_concurrent: MaxConcurrent = 0
    limiter: LimiterKey = Limiter()
    queue: QueueKey = Queue()
    rate_limits: RateLimitsKey = ()

    @model_validator(mode="after")
    def _has_no_upstream(self) -> Self:
        if any(limit.unit == "tokens" for limit in self.rate_limits):
            raise ValueError("no response of a front door reports tokens of a language model; write unit: requests")
        if self.limiter.adaptive is not None:
            raise ValueError("a front door has no upstream to adapt to; write max_concurrent")
        return self

    def route(self) -> records.Route:
        """What it serves, as a route of a name that no proxy has."""
        return records.Route(
            self.known_as,
            self.path,
            self.known_as,
            hosts=self.hosts,
            access_rule=self.access_rule,
            active=self.active,
            rate_limits=tuple(limit.record() for limit in self.rate_limits),
            mcp=mcp.Mcp(
                self.tenant,
                self.allow,
                self.deny,
                tuple(mcp.ToolRule(rule.actions, rule.access_rule) for rule in self.rules),
                self.origins,
                self.instructions,
                self.max_body_bytes,
            ),
        )

    def upstream(self) -> records.Upstream:
        """Its limits: as those of an upstream that has no endpoint, because the gateway itself responds."""
        return records.Upstream(
            self.known_as,
            (),
            max_concurrent=self.max_concurrent,
            limiter=record_of(records.Limiter, self.limiter),
            queue=record_of(records.Queue, self.queue),
            timeouts=records.Timeouts(total=0.0),
        )

    @property
    def known_as(self) -> str:
        """Its name in logs and metrics."""
        return f"{mcp.DOOR}{self.name}"
