"""What a data plane is asked about named actions: to list them, and to call one. The records that travel.

Nothing of the data plane itself is imported here, because the control process needs the records alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NotRequired, Protocol, TypedDict

from gateway.config.actions import Pagination, Retry

LOST: Final = "this body is not there any more; call again"


@dataclass(frozen=True, slots=True)
class AdHoc:
    """A call of a connection without a stored action. ``body`` None: none. ``test``: whether the connection works.

    ``tools``: what a server of MCP offers, of all pages; the body of its response is ``{"tools": [...]}``.
    """

    connection: str
    method: str = "GET"
    path: str = "/"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: object = field(default=None, repr=False)
    test: bool = False
    tools: bool = False


@dataclass(frozen=True, slots=True)
class Overrides:
    """What a call sets instead of its action, before anything is merged. "" and None: what the action has.

    ``endpoint``: a path, or a URL below the base URL of the connection. ``headers`` and ``query`` are added to those of
    the action.
    """

    method: str = ""
    endpoint: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: object = field(default=None, repr=False)
    retry: Retry | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A call. ``action``: its TRN, or its name when only one action of ``tenant`` has it; "" for ``adhoc``.

    ``timeout``: seconds, which can only shorten those of the action; 0: those. ``dry_run``: say what would be sent, and
    send nothing.
    """

    tenant: str
    action: str = ""
    input: Mapping[str, object] = field(default_factory=dict, repr=False)
    adhoc: AdHoc | None = None
    timeout: float = 0.0
    dry_run: bool = False
    request_id: str = ""
    overrides: Overrides | None = None
    link: str = field(default="", repr=False)
    """The URL of a further page, as the page before has named it; "": that of the action."""
    pieces: bool = False
    """A long body comes by `Calls.piece`, so that no process has it as a whole."""


class Failure(TypedDict):
    """Why there is no response of the upstream."""

    status: int
    """The one that HTTP has for it."""
    code: str
    title: str
    message: str
    retry_after: NotRequired[int]
    fields: NotRequired[list[tuple[str, str]]]
    """The paths of wrong input, each with what is wrong there."""


class PlannedField(TypedDict):
    name: str
    value: str
    layer: str
    """What it comes from: connection, action, input or auth; default: the gateway adds it."""


class Planned(TypedDict):
    """What would be sent, without secrets."""

    method: str
    url: str
    headers: list[PlannedField]
    body: str
    warnings: list[str]


class Called(TypedDict):
    """How a call ended: with ``failure``, with ``planned``, or with a response."""

    action: str
    """The TRN of what was called."""
    request_id: str
    failure: Failure | None
    planned: Planned | None
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    attempts: int
    seconds: float
    replayed: NotRequired[bool]
    """Whether it is the result of another call with the same key."""
    rest: NotRequired[str]
    """What `Calls.piece` gives the rest of ``body`` for."""


class Piece(TypedDict):
    """A part of a body."""

    data: bytes
    done: bool
    """It is the last one."""
    failure: Failure | None
    """Why the body is not whole."""


class ConnectionSummary(TypedDict):
    trn: str
    name: str
    connector: str
    base_url: str
    auth: str
    """How it authenticates; no value."""
    merge: str
    upstream: str
    """The name by which proxies share it, and by which it is explained."""
    description: str
    actions: list[str]


class ActionSummary(TypedDict):
    trn: str
    name: str
    connector: str
    connection: str
    method: str
    path: str
    description: str
    input_schema: Mapping[str, object] | None
    explained_as: str
    """The name that log, metrics and explanations have for it."""
    seconds: float
    """The longest that a call may take, with its repetitions."""
    pagination: Pagination | None
    """How its further pages are found; None: it has none."""
    allowed: bool
    """Whether the governance of the gateway allows calls of it."""


class Calls(Protocol):
    """Behind a channel every method may raise `ChannelError`."""

    async def connections(self, tenant: str) -> list[ConnectionSummary]:
        """Those of ``tenant``, by name."""
        ...

    async def actions(self, tenant: str) -> list[ActionSummary]:
        """Those of ``tenant``, by name."""
        ...

    async def call(self, asked: Asked) -> Called:
        """Make a call to its end. A caller that no longer waits cancels it."""
        ...

    async def piece(self, rest: str) -> Piece:
        """Wait for the next part of a body. Raises OSError for one that is not there (any more).

        When this is cancelled, the part may be lost: the body has to be left.
        """
        ...

    async def leave(self, rest: str) -> None:
        """End the call whose body this is: nothing wants the rest."""
        ...
