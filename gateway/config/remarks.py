"""Warnings of `gateway check`: proxies that work as written, but perhaps not as intended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from gateway.config import header_template, values
from gateway.config.schema.proxy import Proxy
from gateway.config.schema.queue import Priority, Queue
from gateway.config.schema.rate_limits import RateLimit
from gateway.config.schema.upstream import Upstream
from gateway.core.path import canonical
from gateway.rules.parser import paths_in


def remarks(proxies: Iterable[Proxy], upstreams: Iterable[Upstream] = ()) -> Iterator[str]:
    """A sentence for each thing that an operator should look at. ``upstreams``: those that proxies can name."""
    listed = list(proxies)
    queues = {upstream.name: upstream.queue for upstream in upstreams}
    for index, proxy in enumerate(listed):
        yield from _spelt_rules(proxy)
        yield from _secrets_for_two(proxy)
        yield from _without_a_queue(proxy, queues)
        for other in listed[index + 1 :]:
            if _meet(proxy, other):
                yield from _nested(*sorted((proxy, other), key=lambda p: len(p.path.rstrip("/"))))
            yield from _other_numbers(proxy, other)


def _other_numbers(one: Proxy, other: Proxy) -> Iterator[str]:
    """Stored proxies are changed one after the other, so that their shared limits may differ for a while."""
    limits = {_buckets(limit): limit for limit in one.rate_limits if limit.shared}
    for limit in other.rate_limits:
        same = limits.get(_buckets(limit)) if limit.shared else None
        if same is not None and _numbers(same) != _numbers(limit):
            yield (
                f"proxies {one.name} and {other.name} share the buckets of the rate limit {limit.record().shown_name}, "
                "and write other numbers; write the same rate, per, burst and max_keys in both"
            )


def _buckets(limit: RateLimit) -> tuple[str, str, str]:
    """What shared limits have in common."""
    return limit.record().shown_name, limit.key, limit.unit


def _numbers(limit: RateLimit) -> tuple[float, ...]:
    return limit.rate, limit.per, limit.burst, limit.max_keys


def _spelt_rules(proxy: Proxy) -> Iterator[str]:
    for text in paths_in(proxy.access_rule):
        try:
            plain = canonical(text.encode()).decode("utf-8", "replace")
        except ValueError:
            plain = "/"
        if text and plain != text:
            yield (
                f"proxy {proxy.name}: its access_rule compares @request.path with {text}, and rejects such requests "
                f"with 400, because a back end may read {plain} in it; compare with {plain}"
            )


def _secrets_for_two(proxy: Proxy) -> Iterator[str]:
    """A secret of one back end is most often none of another's business."""
    second = "" if proxy.fallback is None else proxy.fallback.url
    if proxy.names_upstream or not second:
        return
    own = [values.origin(url) for url in proxy.urls]  # of one back end, however many endpoints it has
    other = values.origin(second)
    names = [name for name, text in proxy.headers.items() if header_template.is_secret(name, text)]
    if other not in own and names:
        yield (
            f"proxy {proxy.name}: its fallback at {other} gets the same headers as {own[0]}, and {', '.join(names)} "
            "may hold a secret; bind it to the origins that may have it (gateway secret bind), or write a response"
        )


def _without_a_queue(proxy: Proxy, queues: Mapping[str, Queue]) -> Iterator[str]:
    """Where the proxy names its upstream, the queue stands there."""
    queue = queues.get(proxy.upstream) if proxy.names_upstream else proxy.queue
    if queue is not None and not queue.max_waiting and proxy.priority != Priority():
        place = f" of {proxy.upstream}" if proxy.names_upstream else ""
        yield (
            f"proxy {proxy.name}: its priority has no effect, because its upstream has no queue in which requests "
            f"wait; set queue: {{max_waiting, timeout}} and max_concurrent{place}, or remove priority"
        )


def _nested(outer: Proxy, inner: Proxy) -> Iterator[str]:
    if _canonical(outer) == _canonical(inner):
        yield (
            f"proxies {outer.name} and {inner.name}: a back end may take their paths, {outer.path} and {inner.path}, "
            "for the same; choose another path for one of them"
        )
    elif inner.path.startswith(outer.path.rstrip("/") + "/") and outer.access_rule != inner.access_rule:
        yield (
            f"proxy {inner.name} ({inner.path}) lies within proxy {outer.name} ({outer.path}), and their access rules "
            f"differ: what the upstream of {outer.name} serves by another name, as in other letters or with a slash at "
            f"the end, has the rule of {outer.name}; make sure that this upstream serves nothing of {inner.path}"
        )


def _canonical(proxy: Proxy) -> bytes:
    try:
        return canonical(proxy.path.encode())
    except ValueError:
        return proxy.path.encode()


def _meet(one: Proxy, other: Proxy) -> bool:
    """Whether some host is served by both."""
    if not one.hosts or not other.hosts:
        return True
    return any(_covers(a, b) or _covers(b, a) for a in one.hosts for b in other.hosts)


def _covers(wide: str, host: str) -> bool:
    return wide == host or (wide.startswith("*.") and host.removeprefix("*").endswith(wide[1:]))
