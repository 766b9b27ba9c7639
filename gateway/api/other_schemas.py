"""Bodies of the other sets of paths, for the OpenAPI document. `gateway.api.forms` makes those of responses."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from gateway.api.action_schemas import (
    ActionAnswer,
    AdHocExecution,
    CallOptions,
    ConnectionAnswer,
    Execution,
    NamedExecution,
    Planned,
    Stopped,
)
from gateway.api.schemas import Body

Output = Literal["full", "body-only", "headers-only", "status-only"]


class Shown(Body):
    """What of a result is shown."""

    output: Output = Field(default="full", description="What the response shows.")


class TaskExecution(Execution, Shown):
    """A call of a task, which is an action."""


class NamedTask(NamedExecution, Shown):
    """A call of a task that stands in the body."""


class AdHocTask(Shown):
    """A call of a connection without a stored task."""

    connection_trn: str = Field(min_length=1, max_length=400)
    method: str = Field(default="GET", max_length=20)
    endpoint: str = Field(
        default="/", max_length=8192, description="A path, or a URL below the base URL of the connection."
    )
    headers: dict[str, str] = Field(default_factory=dict)
    query: dict[str, str] = Field(default_factory=dict)
    body: Any = Field(default=None, description="JSON, or a text that is sent as it is; null: none.")
    options: CallOptions = CallOptions()

    def plain(self) -> AdHocExecution:
        return AdHocExecution(
            connection_trn=self.connection_trn,
            method=self.method,
            path=self.endpoint,
            headers=self.headers,
            query=self.query,
            body=self.body,
            options=self.options,
        )


class ConnectionItems(BaseModel):
    """Connections of a tenant."""

    items: list[ConnectionAnswer]
    total: int


class ActionItems(BaseModel):
    """Actions of a tenant."""

    items: list[ActionAnswer]
    total: int


class TaskResult(BaseModel):
    """The response to a call; of a dry run what would be sent; of all pages their items."""

    status: int = 0
    headers: dict[str, str | list[str]] = Field(default={}, description="By name in lower case.")
    body: Any = None
    dry_run: bool = False
    request: Planned | None = None
    items: list[Any] = []
    pages: int = 0
    complete: bool = True
    stopped: Stopped | None = None


class Metadata(BaseModel):
    """What is known besides the data."""

    request_id: str
    execution_time_ms: float = 0.0
    action_trn: str = ""
    version: int = 0
    attempts: int = 0
    replayed: bool = False
    warnings: list[str] = []


class Envelope(BaseModel):
    """A result in its envelope."""

    success: bool
    data: Any
    metadata: Metadata
