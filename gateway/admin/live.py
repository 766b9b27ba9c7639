"""What the control plane knows of what runs, and of who asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from gateway.app import ProxyState


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: ``name`` stands in the audit trail. ``digest``: of the token, when one was shown."""

    name: str
    superuser: bool
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Applied:
    """``generation``: the configuration that is in force; ``error``: why a newer one is not, or empty."""

    generation: int
    error: str = ""


class Live(Protocol):
    """The data plane that runs."""

    async def state(self) -> Mapping[str, ProxyState]:
        """By proxy; empty while it can not be asked."""
        ...

    async def apply(self) -> Applied:
        """A change was committed: put it in force, and say so when it is."""
        ...

    def applied(self) -> Applied:
        """How the last reload went, whoever asked for it."""
        ...

    async def reset_breaker(self, name: str) -> bool:
        """False when the proxy has no breaker."""
        ...


class NotRunning:
    """A store without a gateway, or whose gateway finds changes out by itself."""

    async def state(self) -> Mapping[str, ProxyState]:
        return {}

    async def apply(self) -> Applied:
        return self.applied()

    def applied(self) -> Applied:
        return Applied(0)

    async def reset_breaker(self, name: str) -> bool:
        return False


class Declared(Protocol):
    """What stands in the configuration file."""

    @property
    def name(self) -> str:
        """Of the file."""
        ...

    @property
    def env(self) -> Mapping[str, str]: ...

    def proxies(self) -> tuple[Mapping[str, object], ...]:
        """Its proxies, as they stand in it."""
        ...


@dataclass(frozen=True, slots=True)
class Undeclared:
    """No configuration file."""

    env: Mapping[str, str]
    name: str = ""

    def proxies(self) -> tuple[Mapping[str, object], ...]:
        return ()
