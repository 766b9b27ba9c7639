"""Logs which upstreams are reached through a forward proxy of the environment, because it applies to them unseen."""

from __future__ import annotations

import logging

from gateway.config.records import Route
from gateway.proxy.layers.keep_secrets import holds_secret
from gateway.proxy.snapshot import Served
from gateway.upstream.endpoint import Endpoint

_log = logging.getLogger("gateway")


def log_forward_proxy(served: Served) -> None:
    """A line for each endpoint with a forward proxy on the way: at start and not when the first request fails."""
    for upstream in (served.upstream, served.second):
        for endpoint in () if upstream is None else upstream.endpoints:
            _log_one(served.settings, endpoint)


def _log_one(route: Route, endpoint: Endpoint) -> None:
    connector = endpoint.pool.connector
    proxy = connector.proxy
    if proxy is None:
        return
    way = f"proxy {route.name}: {endpoint.origin.url} is reached through {proxy.url}, as {proxy.variable} says"
    if not connector.absolute_form or not holds_secret(route):
        _log.info("%s", way)
    elif route.clear_text_proxy:
        _log.warning("%s, which can read the secrets in its headers", way)
    else:
        _log.error(
            "%s, which could read the secrets in its headers: its requests are refused (502 upstream_denied); use "
            "an https:// upstream, name the host in no_proxy, or set clear_text_proxy: true",
            way,
        )
