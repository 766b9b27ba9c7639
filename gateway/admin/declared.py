"""What the control plane knows of the configuration file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from gateway.config.named_calls import NamedCalls
from gateway.config.networks import Destinations
from gateway.config.schema.mcp import Mcp
from gateway.config.schema.proxy import Proxy
from gateway.config.schema.upstream import Upstream

_ANYWHERE = Destinations()
"""Without a file no listener has to be excluded, and only the built-in list applies."""
_NOTHING = NamedCalls()


class Declared(Protocol):
    """The content of the configuration file."""

    @property
    def name(self) -> str:
        """Of the file."""
        ...

    @property
    def env(self) -> Mapping[str, str]: ...

    @property
    def template_env(self) -> Collection[str]:
        """The variables that header templates of the database's proxies may name."""
        ...

    @property
    def destinations(self) -> Destinations:
        """The addresses that upstreams may have."""
        ...

    @property
    def called(self) -> NamedCalls:
        """Its connections and actions."""
        ...

    def proxies(self) -> tuple[Proxy, ...]:
        """Its proxies, each with the protections of the upstream that it names."""
        ...

    def doors(self) -> tuple[Mcp, ...]:
        """Its front doors for MCP."""
        ...

    def urls(self, proxy: Proxy) -> list[str]:
        """Where requests of ``proxy`` go."""
        ...

    def shared_upstreams(self) -> tuple[Upstream, ...]:
        """Its entries of `upstreams`, which several proxies can name."""
        ...


@dataclass(frozen=True, slots=True)
class Undeclared:
    """No configuration file."""

    env: Mapping[str, str]
    name: str = ""
    template_env: Collection[str] = ()
    destinations: Destinations = _ANYWHERE
    called: NamedCalls = _NOTHING

    def proxies(self) -> tuple[Proxy, ...]:
        return ()

    def doors(self) -> tuple[Mcp, ...]:
        return ()

    def urls(self, proxy: Proxy) -> list[str]:
        return proxy.urls

    def shared_upstreams(self) -> tuple[Upstream, ...]:
        return ()
