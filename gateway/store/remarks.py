"""Warnings about stored proxies that are served although some of their requests cannot work."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping

from gateway.config import single
from gateway.config.named_calls import Key
from gateway.config.schema.connections import SHARED, key_of
from gateway.config.schema.proxy import Proxy
from gateway.config.schema.settings import Settings


def remarks(
    settings: Settings, stored: Iterable[Proxy], secrets: Container[str], bound: Mapping[str, Container[str]]
) -> Iterator[str]:
    """A sentence for each reference of a proxy that has no value.

    ``settings``: the file; ``secrets``: the keys of all secrets; ``bound``: the origins of those that are bound to
    some.
    """
    for declared in settings.proxies:
        yield from _of_secrets(f"proxy {declared.name} of the file", declared, settings.urls(declared), secrets, bound)
    for proxy in stored:
        for name in single.unlisted(proxy, settings.template_env):
            yield (
                f"proxy {proxy.name} of the database names {{env.{name}}}, which templates of the database may not "
                f"read: its requests get 500 template_missing. {_way_out(name)}"
            )
        yield from _of_secrets(f"proxy {proxy.name} of the database", proxy, proxy.own_urls(), secrets, bound)


def without_connection(settings: Settings, stored: Container[Key]) -> Iterator[str]:
    """A sentence for each proxy of the file that names a connection which is not there.

    ``stored``: tenant and name of each connection of the database.
    """
    own = {each.shared_name for each in settings.named_calls().connections}
    for proxy in settings.proxies:
        for name in sorted(proxy.named_upstreams() - own):
            if name.startswith(SHARED) and key_of(name) not in stored:
                yield (
                    f"proxy {proxy.name} of the file names {name}, which is neither in the file nor in the database: "
                    f"it is not served. Create the connection, or change the upstream"
                )


def _of_secrets(
    place: str, proxy: Proxy, urls: Iterable[str], secrets: Container[str], bound: Mapping[str, Container[str]]
) -> Iterator[str]:
    for key in single.unknown_secrets(proxy, secrets):
        yield (
            f"{place} names {{secret.{key}}}, and there is no such secret: its requests get 500 template_missing. "
            f"Change its headers, or run: gateway secret set {key}"
        )
    for key in single.misdirected(proxy, urls, bound):
        yield (
            f"{place} names {{secret.{key}}}, which is bound to other origins than its upstream or its fallback: its "
            f"requests get 500 template_missing. Change its upstream, or run: gateway secret bind {key} ORIGIN..."
        )


def _way_out(name: str) -> str:
    if single.is_own(name):
        return "GATEWAY_* are the gateway's own; change its headers"
    return f"Add {name} to template_env in the file, or store the value as a secret and name that"
