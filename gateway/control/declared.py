"""The configuration file, as the control process and the commands of this machine know it."""

from __future__ import annotations

import pathlib
from collections.abc import Collection, Mapping

from gateway.config import certificate_files, load
from gateway.config.named_calls import NamedCalls
from gateway.config.networks import Destinations
from gateway.config.records import Tls
from gateway.config.schema.mcp import Mcp
from gateway.config.schema.proxy import Proxy
from gateway.config.schema.settings import Settings
from gateway.config.schema.upstream import Upstream
from gateway.config.watch import fingerprint
from gateway.core.address import Address


class DeclaredFile:
    """The part of the configuration that stands in the file (the `Declared` of the admin room)."""

    def __init__(self, path: pathlib.Path, env: Mapping[str, str], listen: tuple[Address, ...] | None = None) -> None:
        """``listen``: the address from the command line, which replaces that of the file."""
        self.name = path.name
        self.path = path
        self._listen = listen
        self.env = env
        self.content = fingerprint(path)
        """Digest of the file that `settings` was read from."""
        self.settings: Settings = load.load_settings(path, env)

    def admin_tls(self) -> Tls | None:
        """TLS of the admin listener, as the file has it now."""
        admin = self.settings.admin
        found = () if admin is None else admin.records()
        return next((listener.tls for listener in found), None)

    def read(self) -> Settings:
        """Read the current file. Raises `ConfigError`."""
        return load.load_settings(self.path, self.env)

    def certificates_current(self) -> bool:
        """Whether the files of certificates are as they were when `settings` was read."""
        sources = self.settings.sources()
        return certificate_files.current(sources) == sources

    @property
    def template_env(self) -> Collection[str]:
        return self.settings.template_env

    @property
    def destinations(self) -> Destinations:
        return self.settings.destinations(self._listen)

    @property
    def called(self) -> NamedCalls:
        return self.settings.named_calls()

    def proxies(self) -> tuple[Proxy, ...]:
        return self.settings.protected_proxies()

    def doors(self) -> tuple[Mcp, ...]:
        return self.settings.mcp

    def urls(self, proxy: Proxy) -> list[str]:
        return self.settings.urls(proxy)

    def shared_upstreams(self) -> tuple[Upstream, ...]:
        return self.settings.upstreams
