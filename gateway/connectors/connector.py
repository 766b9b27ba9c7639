"""The interface of a connector, and all that one in another distribution needs.

A connector is a class with two sections of the configuration, for its connections and its actions, and with methods
that make calls. Limiter, breaker, deadline, retries, log and metrics are not its concern: they stand around it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from gateway.config.kinds import require as require
from gateway.config.networks import Destinations
from gateway.config.schema.connector import ConnectorAction as ActionSection
from gateway.config.schema.connector import ConnectorConnection as ConnectionSection
from gateway.config.schema.types import Secret as Secret

ConnectionT = TypeVar("ConnectionT", bound=ConnectionSection)
ActionT = TypeVar("ActionT", bound=ActionSection)

__all__ = [
    "ActionSection",
    "Call",
    "ConnectionSection",
    "Connector",
    "ForbiddenError",
    "RejectedError",
    "Secret",
    "TooLargeError",
]


class RejectedError(Exception):
    """The back end is well, and does not do what it was asked for. The caller gets ``status`` with the message.

    ``code``: the word or number that the back end has for it.
    """

    def __init__(self, message: str, code: str = "", status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status


class TooLargeError(Exception):
    """The result is larger than `Call.max_bytes`, and was not read to its end."""


class ForbiddenError(Exception):
    """The address is one to which the gateway does not connect (`upstream_networks`)."""


@dataclass(frozen=True, slots=True)
class Call(Generic[ActionT]):
    """One call. ``input`` fits the schema of the action, and has its defaults."""

    action: ActionT
    input: Mapping[str, Any] = field(repr=False)
    max_bytes: int
    """The longest result, as JSON. What is larger is rejected in any case; a connector may stop reading before."""


class Connector(ABC, Generic[ConnectionT, ActionT]):
    """A live connection of its kind in one process. ``destinations``: the addresses to which it may connect.

    Calls run side by side, at most as many as `max_concurrent` of the connection says. A call whose time is over, or
    whose caller has left, is cancelled.
    """

    Connection: ClassVar[type[Any]] = ConnectionSection
    """A `ConnectionSection` with the keys of a connection."""
    Action: ClassVar[type[Any]] = ActionSection
    """An `ActionSection` with the keys of an action."""
    failures: ClassVar[tuple[type[BaseException], ...]] = (OSError, EOFError, TimeoutError)
    """What `perform` and `test` raise when the back end is ill: it is 502, and the breaker counts it."""

    def __init__(self, connection: ConnectionT, destinations: Destinations) -> None:
        self.connection = connection
        self.destinations = destinations

    @classmethod
    def load(cls) -> None:
        """Import what takes its time. It runs in a thread, before the first connection of this kind is made."""

    @abstractmethod
    async def perform(self, call: Call[ActionT]) -> object:
        """The result, of what JSON has, and of times, dates, UUIDs, Decimals and bytes.

        Raises `RejectedError`, `TooLargeError`, one of `failures`. When it is cancelled, nothing goes on at the back
        end, and no connection is kept that is in the middle of something.
        """

    @abstractmethod
    async def test(self) -> None:
        """Whether the back end responds, with the credentials of the connection. Raises as `perform`."""

    async def aclose(self) -> None:
        """Close everything. No call runs any more, and none comes."""
