"""Bodies of the routes of connections and actions."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from gateway.api.schemas import Body
from gateway.config.schema.call_policy import RetryKey
from gateway.ipc.calls import Overrides as OverridesRecord
from gateway.ipc.tokens import Status

_LONGEST_MS = 600_000


class CallOptions(Body):
    """How a call is made."""

    timeout_ms: int = Field(
        default=0,
        ge=0,
        le=_LONGEST_MS,
        description="Milliseconds, which can only shorten the time that the action has.",
    )
    dry_run: bool = Field(default=False, description="true: send nothing, and report what would be sent.")
    all_pages: bool = Field(
        default=False, description="true: read all pages of an action with pagination; timeout_ms is for all of them."
    )


class Overrides(Body):
    """What a call sets instead of its action, before anything is merged; what a strict connection sets still wins."""

    method: str = Field(default="", max_length=20)
    endpoint: str = Field(
        default="", max_length=8192, description="A path, or a URL below the base URL of the connection."
    )
    headers: dict[str, str] = Field(default_factory=dict, description="They are added to those of the action.")
    query: dict[str, str] = Field(default_factory=dict, description="They are added to those of the action.")
    body: Any = Field(default=None, description="JSON, or a text that is sent as it is; null: that of the action.")
    retry_policy: RetryKey = Field(default=None, description="As `retry` of an action; null: that of the action.")

    def record(self) -> OverridesRecord:
        retry = None if self.retry_policy is None else self.retry_policy.record()
        return OverridesRecord(self.method, self.endpoint, self.headers, self.query, self.body, retry)


class Execution(Body):
    """A call of an action."""

    input: dict[str, Any] = Field(default_factory=dict, description="What the input schema of the action describes.")
    options: CallOptions = CallOptions()
    overrides: Overrides | None = None


class NamedExecution(Execution):
    """A call of an action that stands in the body."""

    action_trn: str = Field(min_length=1, max_length=400, description="Its TRN, or its name when no other has it.")


class AdHocExecution(Body):
    """A call of a connection without a stored action."""

    connection_trn: str = Field(min_length=1, max_length=400)
    method: str = Field(default="GET", max_length=20)
    path: str = Field(default="/", max_length=8192)
    headers: dict[str, str] = Field(default_factory=dict)
    query: dict[str, str] = Field(default_factory=dict)
    body: Any = Field(default=None, description="JSON, or a text that is sent as it is; null: none.")
    options: CallOptions = CallOptions()


class TestOptions(Body):
    """How a connection is tested."""

    timeout_ms: int = Field(default=0, ge=0, le=_LONGEST_MS, description="Milliseconds; 0: those of the connection.")


class ConnectionTest(Body):
    """A test of a connection."""

    options: TestOptions = TestOptions()


class CallRecord(BaseModel):
    """What the database has of a connection or an action."""

    version: int = Field(description="Each change raises it; If-Match names it.")
    created: str
    updated: str
    shadowed_by: str | None = Field(description="The file, when it has the same name: then that is served.")
    problem: str = Field(description="Why it cannot be served; empty: it can.")
    settings: dict[str, Any] = Field(description="As they would stand in the file, with the name; secrets redacted.")


class ConnectionAnswer(BaseModel):
    """A connection, without its secrets."""

    trn: str
    name: str
    connector: str
    base_url: str
    auth: str = Field(description="How it authenticates.")
    merge: str
    upstream: str = Field(description="The name by which proxies share it, and by which it is explained.")
    description: str
    actions: list[str]
    record: CallRecord | None = Field(description="null: it stands in the file.")


class ConnectionList(BaseModel):
    """The connections of a tenant."""

    items: list[ConnectionAnswer]
    page: int
    per_page: int
    total: int


class ActionAnswer(BaseModel):
    """An action."""

    trn: str
    name: str
    connector: str
    connection: str
    method: str
    path: str
    description: str
    input_schema: dict[str, Any] | None
    input_schema_digest: str
    explained_as: str = Field(description="The name that log, metrics and explanations have for it.")
    seconds: float = Field(description="The longest that a call may take.")
    record: CallRecord | None = Field(description="null: it stands in the file.")
    pagination: dict[str, Any] | None = Field(description="How its further pages are found; null: it has one.")
    allowed: bool = Field(description="Whether the governance of the gateway allows calls of it.")


class ActionList(BaseModel):
    """The actions of a tenant."""

    items: list[ActionAnswer]
    page: int
    per_page: int
    total: int


class InputSchema(BaseModel):
    """A JSON Schema."""


class ConnectionTested(BaseModel):
    """Whether the base URL of a connection responds. Any status is a response."""

    trn: str
    reached: bool
    status: int
    code: str
    message: str
    token: str = Field(description="How the access token stands, as in the status of the connection.")


class OfferedTool(BaseModel):
    """A tool of a server of MCP, in the words of the server."""

    name: str
    title: str
    description: str
    input_schema: dict[str, Any] | None = Field(description="The JSON Schema of its input; null: there is none.")


class ToolList(BaseModel):
    """What a server of MCP offers."""

    trn: str
    items: list[OfferedTool]
    total: int


class ConnectionStatus(BaseModel):
    """Whether calls of a connection can authenticate."""

    trn: str
    name: str
    auth: str
    status: Status
    message: str = Field(description="Why, and what an operator has to do.")
    expires_at: str | None = Field(description="When the access token ends; null: it does not, or there is none.")
    seconds_to_expiry: float | None
    has_grant: bool = Field(description="There is an access token.")
    version: int = Field(description="Grows with each access token.")
    asked_again_at: str | None = Field(description="The identity provider is left alone until then.")


class Authorize(Body):
    """Nothing is to be said."""


class AuthorizationBegun(BaseModel):
    """What a person needs to agree."""

    trn: str
    id: str
    kind: Literal["code", "device"]
    url: str = Field(description="The page to open in a browser.")
    complete_url: str = Field(description="The same page with the code filled in; empty: there is none.")
    user_code: str = Field(description="The code to type there; empty: none is needed.")
    expires_at: str
    poll_seconds: float = Field(description="How often to look what came of it.")


class AuthorizationState(BaseModel):
    """What came of an authorization."""

    trn: str
    id: str
    status: Literal["pending", "authorized", "failed"]
    message: str
    expires_at: str
    poll_seconds: float


class Revoked(BaseModel):
    """What was done about a grant."""

    trn: str
    message: str


class PlannedField(BaseModel):
    name: str
    value: str
    layer: str = Field(description="What it comes from: connection, action, input, auth, or default.")


class Planned(BaseModel):
    """What would be sent, without secrets."""

    method: str
    url: str
    headers: list[PlannedField]
    body: str
    warnings: list[str]


class Stopped(BaseModel):
    """Why not all pages were read."""

    page: int = Field(description="The page, from 1, at which it stopped.")
    code: str
    message: str
    status: int = Field(description="Of the third party; 0: it has not responded.")


class Executed(BaseModel):
    """The response to a call; of a dry run what would be sent, as `request`; of all pages their `items`."""

    action_trn: str
    request_id: str
    status: int = 0
    headers: list[tuple[str, str]] = []
    body: Any = None
    body_encoding: str = Field(default="", description="json, text or base64.")
    replayed: bool = Field(default=False, description="Whether it is the result of a call with the same key.")
    attempts: int = 0
    execution_time_ms: float = 0.0
    dry_run: bool = False
    request: Planned | None = None
    items: list[Any] = Field(default=[], description="Of all pages that were read.")
    pages: int = Field(default=0, description="How many pages were read.")
    complete: bool = Field(default=True, description="Whether all pages were read.")
    stopped: Stopped | None = None


class Kind(BaseModel):
    """A connector."""

    name: str
    description: str
    connection_schema: dict[str, Any] = Field(description="JSON Schema of a connection.")
    action_schema: dict[str, Any] = Field(description="JSON Schema of an action.")


class KindList(BaseModel):
    """The connectors."""

    items: list[Kind]
    total: int


class CallStats(BaseModel):
    """How much there is of what."""

    connections: int
    actions: int
    idempotency_keys: int = Field(description="Keys of calls that run, or ended within 300 seconds.")
