"""What an operator should know about stored proxies: they are served, and some of their requests can not work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gateway.config import single
from gateway.config.model import Settings
from gateway.store.proxies import StoredProxy


def remarks(settings: Settings, stored: Iterable[StoredProxy]) -> Iterator[str]:
    """A sentence for each thing that ``settings``, the file, keep a proxy of the database from doing."""
    for proxy in stored:
        for name in single.unlisted(proxy.settings, settings.template_env):
            yield (
                f"proxy {proxy.name} of the database names {{env.{name}}}, which templates of the database may not "
                f"read: its requests get 500 template_missing. {_way_out(name)}"
            )


def _way_out(name: str) -> str:
    if single.is_own(name):
        return "GATEWAY_* are the gateway's own; change its headers"
    return f"Add {name} to template_env in the file, or store the value as a secret and name that"
