"""Metrics, and explanations: of the current state of an upstream, and of one request."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, Final, TypeVar

from gateway import errors
from gateway.admin.actor import Actor
from gateway.admin.errors import not_found, unavailable
from gateway.admin.live import Live
from gateway.admin.representations import Resource
from gateway.admin.rights import metrics_readers_only, superusers_only
from gateway.core import hedge
from gateway.ipc.channel import ChannelError
from gateway.ipc.messages import Inspection

Answer = TypeVar("Answer")

_PHASES: Final = {
    "identity_ms": "authenticating the caller",
    "queue_ms": "waiting for a permit",
    "pool_ms": "taking a pooled connection",
    "dial_ms": "opening a connection",
    "upload_ms": "sending the request",
    "upstream_latency_ms": "waiting for the upstream's first byte",
    "transfer_ms": "receiving the response",
    "blocked_ms": "waiting for a client slow to read it",
    "proxy_latency_ms": "in the gateway itself",
}
_WITHHELD: Final = {
    hedge.BUDGET: "the budget of its upstream had no token left",
    hedge.PERMIT: "its upstream had no free permit",
    hedge.ENDPOINT: "no other endpoint took it",
}
"""Why there was no second attempt beside the first one."""
_NO_RETRY: Final = {
    "method": "its method may not be sent twice",
    "body": "its body was not kept",
    "attempts": "it had as many attempts as it may have",
    "retry_after": "its upstream asked for too long a pause",
    "deadline": "it would have begun after the deadline",
    "budget": "the budget of its upstream had no token left",
    "breaker": "a breaker rejected it",
    "health": "no endpoint may get requests",
    "rate_limit": "the rate limits of its upstream had no token left",
}
"""Why a failure for which retries are configured was not followed by one, by the words of `gateway.policy.retry`."""
_NO_FALLBACK: Final = {
    "breaker": "a breaker of its upstream rejected the request",
    "health": "its upstream had no endpoint that may get requests",
    "queue": "its upstream had no free permit",
    "rate_limit": "the rate limits of its upstream had no token left",
}
"""Why the failure before a fallback stood, by `gateway.core.fallback.REJECTED`."""
_WHOSE_BREAKER: Final = {
    "endpoint": "by the breakers of the endpoints of {}",
    "upstream": "by the breaker of the upstream {}, which judges its endpoints together",
}
"""By `gateway.core.fallback.BREAKERS`."""
_SHOWN_ABOVE: Final = 0.0005
"""Milliseconds: a smaller value is zero at three digits."""
_ROUNDING: Final = 0.01
"""Milliseconds by which the phases of a log line may miss its duration."""


class Explanations:
    """All methods raise `AdminError`, also when the data plane cannot be reached."""

    def __init__(self, live: Live, plane: Inspection) -> None:
        self._live = live
        self._plane = plane

    async def metrics(self, actor: Actor, *, open_metrics: bool) -> str:
        """In the text format of Prometheus or in OpenMetrics; also for tokens of that scope."""
        metrics_readers_only(actor)
        return await self._live.metrics(open_metrics=open_metrics)

    async def upstream(self, actor: Actor, name: str) -> Resource:
        """State of breaker, limiter, queue and pool, with time and cause; what would happen to a request now."""
        superusers_only(actor)
        found = await _asked(self._plane.explain(name))
        if found is None:
            raise not_found(
                f"no proxy {name} is served; see GET /proxies, and write connection/NAME or action/NAME for these"
            )
        return dict(found)

    async def request(self, actor: Actor, request_id: str) -> Resource:
        """The phases of a recent request, and the reason for its end."""
        superusers_only(actor)
        found = await _asked(self._plane.find(request_id))
        if found is None:
            raise not_found(
                f"request {request_id} is not among the newest; look for it in the access log, and for its proxy there"
            )
        return explained(found)


async def _asked(answer: Awaitable[Answer]) -> Answer:
    """Raises `AdminError` while the data plane is away."""
    try:
        return await answer
    except ChannelError as error:
        raise unavailable(str(error)) from None


def explained(record: Mapping[str, object]) -> Resource:
    """``record``: a line of the access log, or the state of a running request (it has a ``phase``)."""
    reason = errors.REASONS.get(str(record.get("reason", "")))
    spent = _spent(record)
    way = [
        {"phase": name.removesuffix("_ms"), "ms": spent[name], "meaning": meaning}
        for name, meaning in _PHASES.items()
        if spent[name] > _SHOWN_ABOVE
    ]
    return {
        "request": dict(record),
        "running": "phase" in record,
        "sentence": _running(record) if "phase" in record else _ended(record, reason),
        "way": way,
        "reason": None
        if reason is None
        else {
            "code": reason.code,
            "status": reason.status,
            "source": reason.source.value,
            "meaning": reason.details,
            "page": f"docs/reasons/{reason.code}.md",
        },
    }


def _spent(record: Mapping[str, object]) -> dict[str, float]:
    """Milliseconds by phase. An upstream without a response has no latency in the line: it took the rest."""
    spent = {name: _number(record, name) for name in _PHASES}
    if _number(record, "attempts") and record.get("upstream_latency_ms") is None:
        left = round(_number(record, "duration_ms") - sum(spent.values()), 3)
        spent["upstream_latency_ms"] = left if left > _ROUNDING else 0.0
    return spent


def _running(record: Mapping[str, object]) -> str:
    of = f"proxy {record['proxy_name']}" if record["proxy_name"] else "no proxy"
    return f"it runs for {_number(record, 'age'):.1f} s, in phase {record['phase']} of {of}"


def _ended(record: Mapping[str, object], reason: errors.Reason | None) -> str:
    took = f"{_number(record, 'duration_ms'):.1f} ms"
    attempts = record["attempts"]
    by = f" by {record['upstream']}" if record["upstream"] else ""
    if reason is None:
        grpc = f", grpc-status {record['grpc_status']}" if "grpc_status" in record else ""
        text = f"answered {record['status_code']}{grpc}{by} in {took}"
    elif reason is errors.CLIENT_GONE:
        text = f"the client left after {took}"
    elif attempts:
        text = f"failed after {took}{by}: {reason.code} ({reason.details})"
    else:
        text = f"refused with {record['status_code']} {reason.code} before any upstream was asked: {reason.details}"
    if record.get("breaker") == "upstream":
        text += "; the breaker is that of the upstream, which judges its endpoints together"
    if isinstance(behind := record.get("fallback"), Mapping):
        text += f"; {_fell_back(behind)}"
    if record["shadow"]:
        text += f"; {record['shadow']} would have refused it, were it not in shadow mode"
    if isinstance(attempts, int) and attempts > 1:
        text += f"; it took {attempts} attempts"
    if isinstance(retries := record.get("retries"), Mapping):
        text += _retried(retries)
    if isinstance(beside := record.get("hedge"), Mapping):
        text += f"; {_hedged(beside)}"
    return text


def _retried(retries: Mapping[str, Any]) -> str:
    """``retries`` of the access log."""
    text = f"; tried again after {', '.join(retries['failures'])}" if retries["failures"] else ""
    return text + (f"; no retry followed, because {_NO_RETRY[retries['withheld']]}" if retries["withheld"] else "")


def _fell_back(behind: Mapping[str, Any]) -> str:
    """``behind``: ``fallback`` of the access log."""
    if "withheld" in behind:
        return f"the fallback did not take over, because {_NO_FALLBACK[behind['withheld']]}"
    where = f" of {behind['upstream']}" if behind["upstream"] else ""
    text = f"the fallback took over from {behind['reason'] or 'status ' + str(behind['cause'])}{where}"
    if "breaker" not in behind:
        return text
    return f"{text}, {_WHOSE_BREAKER[behind['breaker']].format(behind['of'])}"


def _hedged(beside: Mapping[str, Any]) -> str:
    """``beside``: ``hedge`` of the access log."""
    after = f"after {beside['after_ms']:.0f} ms"
    if beside["shadow"]:
        return f"a hedge would have begun {after}, were it not in shadow mode"
    if beside["withheld"]:
        return f"no hedge began {after}, because {_WITHHELD[beside['withheld']]}"
    return (
        f"a hedge began {after} and {beside['result']}, and the other attempt was at {beside['other'] or 'no endpoint'}"
    )


def _number(record: Mapping[str, object], name: str) -> float:
    """0 for what is missing or null."""
    value = record.get(name)
    return value if isinstance(value, int | float) else 0.0
