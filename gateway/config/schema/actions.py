"""Actions of HTTP in the file."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from gateway.config import actions as records
from gateway.config.input_schema import validator
from gateway.config.placeholders import placeholders, without_places
from gateway.config.schema.call_policy import HttpPolicy, Milliseconds, RetryKey
from gateway.config.schema.connections import MOST_BYTES, Fields, Kind, Name
from gateway.config.schema.pagination import Pagination
from gateway.config.schema.section import Section
from gateway.config.schema.types import Bytes, Listed
from gateway.core.trn import Trn, versioned

_PATH = re.compile(r"/?[\x21-\x7e]*")


def _action_path(path: str) -> str:
    if not _PATH.fullmatch(path) or "?" in path or "#" in path:
        raise ValueError("must be a path of printable ASCII without ? and #; write parameters in query")
    if any(segment in (".", "..") for segment in path.split("/")):
        raise ValueError("must not have a segment of dots; write the path that is meant")
    if path.startswith("//"):
        raise ValueError("must begin with one slash; the host is that of the connection")
    rest = without_places(path)
    if "{" in rest or "}" in rest:
        raise ValueError("has a brace that belongs to no {name}; write {name}, or %7B and %7D for braces that are sent")
    return path


class Parameter(Section):
    """A value that the caller of an action gives."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$", examples=["owner"])
    """Its name: letters, digits, `_` and `-`."""
    type: Literal["string", "integer", "number", "boolean", "array", "object"] = Field(
        default="string", examples=["integer"]
    )
    """Its type in JSON."""
    place: Literal["path", "query", "header", "body"] | None = Field(default=None, alias="in", examples=["header"])
    """Where it goes: `path`, `query`, `header` or `body`. `null`: where `{name}` stands in path, headers, query or
    body, else into the query of GET, HEAD and DELETE, and into the body of others."""
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

    @model_validator(mode="after")
    def _default_fits(self) -> Self:
        check = validator(self.json_schema())
        if self.default is not None and not check.is_valid(self.default):
            raise ValueError("the default does not fit type, enum and schema; write one that does")
        return self

    def json_schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": self.type, **self.schema_}
        if self.description:
            schema["description"] = self.description
        if self.enum is not None:
            schema["enum"] = list(self.enum)
        return schema

    def record(self, action: Action) -> records.Parameter:
        place: records.ParameterPlace | None = self.place
        in_path = self.name in placeholders(action.path)
        if place is None:
            bodiless = action.method in ("GET", "HEAD", "DELETE")
            place = "query" if bodiless else "body"
            place = "path" if in_path else "template" if self.name in action.placeholders() else place
        required = self.required or in_path
        return records.Parameter(self.name, place, self.json_schema(), required, self.default)


class Body(Section):
    """The body of a request; texts in it may hold `{name}` for parameters."""

    type: Literal["json", "form", "multipart", "text", "raw"] = Field(default="json", examples=["form"])
    """`json`, `form` (URL-encoded), `multipart` (a form with files, RFC 7578), or `text` and `raw`: as it is."""
    value: Any = Field(default=None, examples=[{"title": "{title}"}])
    """What is sent. A file of `multipart` is a mapping: `text` or `base64`, with `filename` (else it is `file`) and
    `content_type`."""
    content_type: str = Field(default="", pattern=r"^[\x20-\x7e]*$", examples=["application/merge-patch+json"])
    """Its media type; empty: the usual one."""

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        if self.type in ("text", "raw") and not isinstance(self.value, str):
            raise ValueError("the value of a body of text must be text; write it in quotes")
        if self.type in ("form", "multipart") and not isinstance(self.value, dict):
            raise ValueError("the value of a form must be a mapping; write names and values")
        if self.type == "multipart" and self.content_type:
            raise ValueError("multipart has its own content type, which names the boundary; remove content_type")
        return self

    def record(self) -> records.Body:
        return records.Body("text" if self.type == "raw" else self.type, self.value, self.content_type)


class ActionLimits(Section):
    """Bounds of one action."""

    timeout_ms: Milliseconds | None = Field(default=None, ge=1, le=3_600_000, examples=[2000])
    """For a whole call, with its retries; `null`: that of the connection."""
    max_bytes: Bytes | None = Field(default=None, ge=1, le=MOST_BYTES, examples=[65536])
    """The longest body of a response; `null`: that of the connection."""


class Action(Section):
    """One call that is made by its name."""

    connection: Name = Field(examples=["shop"])
    """The name of its connection."""
    kind: Kind | None = Field(default=None, examples=["http"], json_schema_extra={"enum": ["http", "mcp", None]})
    """The connector: that of the connection, so that it need not be written."""
    tool: str = Field(default="", max_length=128, examples=["get_weather"])
    """The tool that is called, of a connection of the kind `mcp`. It has no `method`, `path`, `query` and `body`."""
    description: str = Field(default="", max_length=1000, examples=["Find an order"])
    """What it does, for people."""
    enabled: bool = Field(default=True, examples=[False])
    """`false`: it is switched off, and is not there for a caller."""
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = Field(
        default="GET", examples=["POST"]
    )
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
    pagination: Pagination | None = Field(default=None)
    """How its further pages are found; `null`: it has one."""

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
            missing = [name for name in self.placeholders() if name not in names]
            if missing:
                raise ValueError(f"{{{missing[0]}}} is no parameter of this action; add it to parameters")
            paging = [] if self.pagination is None else self.pagination.names()
            if unknown := [name for name in paging if name not in names]:
                raise ValueError(f"pagination sets {unknown[0]}, which is no parameter; add it to parameters")
        return self

    @model_validator(mode="after")
    def _tool_alone(self) -> Self:
        both = [key for key in ("method", "path", "query", "body") if self.tool and key in self.model_fields_set]
        if both:
            raise ValueError(f"a tool has no {both[0]}; remove {both[0]}, or tool")
        if self.kind not in (None, self.speaks):
            raise ValueError("a tool belongs to the kind mcp, and that kind needs a tool; leave kind out")
        return self

    @property
    def speaks(self) -> str:
        """The kind that its connection must have."""
        return "mcp" if self.tool else "http"

    def placeholders(self) -> list[str]:
        """The names of all parameters that stand in a template of it."""
        return list(placeholders((self.path, self.headers, self.query, self.body and self.body.value)))

    def trn(self, name: str, tenant: str) -> Trn:
        """``name``: with its version."""
        return Trn(tenant, "action", self.speaks, *versioned(name))

    def record(self, name: str, connection: Trn) -> records.Action:
        """``name``: the key that it stands under, with its version. ``connection``: the TRN of its connection."""
        timeout = self.timeout_ms or self.limits.timeout_ms or 0
        return records.Action(
            trn=str(self.trn(name, connection.tenant)),
            connection=str(connection),
            method="POST" if self.tool else self.method,
            path="" if self.tool else self.path,
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
            pagination=self.pagination.record() if self.pagination is not None else None,
            tool=self.tool,
        )
