"""Joins what several workers say of themselves, as one data plane would say it.

Counts add up. Limits, queues and breakers are shared (`gateway.page`): each worker tells the same, a moment earlier or
later. Of breakers the worst state counts, because it is the one that callers notice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Final

from gateway.ipc.explanation import (
    AdaptiveView,
    AiView,
    BreakerView,
    EndpointView,
    Explanation,
    FallbackView,
    GroupView,
    HedgeView,
    Holder,
    LimiterView,
    PoolView,
    QueueView,
    RateView,
    RetriesView,
    StreamView,
)
from gateway.ipc.messages import BreakerPulse, ProxyState
from gateway.ipc.tokens import TokenView

BREAKER_STATES: Final = ("off", "closed", "half_open", "open")
"""From the best to the worst."""
STANDINGS: Final = ("usable", "leaving", "drained", "ejected", "down")
"""Of an endpoint: from the best to the worst."""
_VERDICTS: Final = ("admit", "probe", "wait", "refuse")
"""From the best to the worst."""
_MOST_ACTIVE: Final = 100
_KEPT_REFUSALS: Final = 200

Line = dict[str, object]


def states(found: Sequence[Mapping[str, ProxyState]]) -> Mapping[str, ProxyState]:
    """The proxies of all, each with the sums of its counts."""
    if len(found) == 1:
        return found[0]
    merged: dict[str, ProxyState] = {}
    for name in _names(found):
        of = [each[name] for each in found if name in each]
        merged[name] = ProxyState(
            in_flight=sum(each["in_flight"] for each in of),
            waiting=sum(each["waiting"] for each in of),
            streams=sum(each["streams"] for each in of),
            breaker=worst(each["breaker"] for each in of),
            connections_open=sum(each["connections_open"] for each in of),
            connections_idle=sum(each["connections_idle"] for each in of),
        )
    return merged


def latest(found: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
    """The latest time of each key."""
    merged: dict[str, float] = {}
    for each in found:
        for key, at in each.items():
            merged[key] = max(at, merged.get(key, at))
    return merged


def pulses(found: Sequence[Mapping[str, BreakerPulse]]) -> Mapping[str, BreakerPulse]:
    """How the breakers stand: as the worker says that saw most."""
    if len(found) == 1:
        return found[0]
    merged: dict[str, BreakerPulse] = {}
    for name in _names(found):
        of = [each[name] for each in found if name in each]
        merged[name] = max(of, key=lambda each: (BREAKER_STATES.index(each["breaker"]), len(each["history"])))
    return merged


def worst(breakers: Iterable[str]) -> str:
    """The worst of these states of breakers."""
    return max(breakers, key=BREAKER_STATES.index)


def explanations(
    staying: Sequence[tuple[int, Explanation]], leaving: Sequence[tuple[int, Explanation]] = ()
) -> Explanation:
    """Of one proxy, each with the number of its worker; one at least.

    ``leaving``: of those that drain, beside others. What runs there counts. The rest they know from before.
    """
    if not staying:
        staying, leaving = leaving, ()
    everywhere = [*staying, *leaving]
    if len(everywhere) == 1:
        return staying[0][1]
    of, left = [each for _, each in staying], [each for _, each in leaving]
    first = max(of, key=lambda each: _VERDICTS.index(each["verdict"]))
    active: list[Holder] = [{**each, "worker": slot} for slot, one in everywhere for each in one["active"]]
    active.sort(key=lambda each: -each["age"])
    return Explanation(
        proxy=first["proxy"],
        at=max(each["at"] for each in of),
        verdict=first["verdict"],
        reason=first["reason"],
        sentence=first["sentence"],
        active=active[:_MOST_ACTIVE],
        active_count=sum(each["active_count"] for _, each in everywhere),
        limiter=_limiter([each["limiter"] for each in of if each["limiter"] is not None]),
        queue=_queue([each["queue"] for each in of if each["queue"] is not None]),
        breaker=_breaker([each["breaker"] for each in of if each["breaker"] is not None]),
        upstream_breaker=_breaker([outer for each in of if (outer := each.get("upstream_breaker")) is not None]),
        group=_group(_groups(of), _groups(left)),
        hedge=_hedge([told for each in of if (told := each.get("hedge")) is not None]),
        retries=_retries([some for each in of if (some := each.get("retries")) is not None]),
        rates=_rates([each.get("rates", []) for each in of]),
        stream=_stream([found for each in of if (found := each.get("stream")) is not None]),
        ai=_ai([read for _, each in everywhere if (read := each.get("ai")) is not None]),
        adaptive=_adaptive([one for each in of if (one := each.get("adaptive")) is not None]),
        fallback=_fallback([second for each in of if (second := each.get("fallback")) is not None]),
        token=_token([token for each in of if (token := each.get("token")) is not None]),
        pool=_pool([each["pool"] for _, each in everywhere]),
    )


def _limiter(of: Sequence[LimiterView]) -> LimiterView | None:
    return max(of, key=lambda each: each["in_flight"], default=None)


def _queue(of: Sequence[QueueView]) -> QueueView | None:
    """Places are shared, and each worker decides who of its own goes first."""
    if not of:
        return None
    most = max(of, key=lambda each: each["waiting"])
    new = [each for each in of if "order" in each]  # a worker of another version does not send it
    if not new:
        return most
    by_priority: dict[str, int] = {}
    for each in new:
        for priority, count in each["by_priority"].items():
            by_priority[priority] = by_priority.get(priority, 0) + count
    return {
        **most,
        "order": max(each["order"] for each in new),
        "by_priority": by_priority,
        "expected_wait": max(each["expected_wait"] for each in new),
    }


def _breaker(of: Sequence[BreakerView]) -> BreakerView | None:
    return max(of, key=lambda each: (BREAKER_STATES.index(each["state"]), len(each["moves"])), default=None)


def _rates(of: Sequence[list[RateView]]) -> list[RateView]:
    """Workers share the buckets, so that the one that was asked last has seen all."""
    return max(of, key=lambda each: sum(limit["keys"] for limit in each))


def _stream(of: Sequence[StreamView]) -> StreamView | None:
    if not of:
        return None
    watched = sum(each["watched"] for each in of)
    return {**of[0], "watched": watched, "silence": max(each["silence"] for each in of)}


def _ai(of: Sequence[AiView]) -> AiView | None:
    if not of:
        return None
    longest = max(each["longest_wait"] for each in of)
    responses, waiting = sum(each["responses"] for each in of), sum(each["waiting"] for each in of)
    return {**of[0], "responses": responses, "waiting": waiting, "longest_wait": longest}


def _groups(of: Sequence[Explanation]) -> list[GroupView]:
    return [told for each in of if (told := each.get("group")) is not None]


def _group(of: Sequence[GroupView], left: Sequence[GroupView]) -> GroupView | None:
    """Each worker has its own opinion of an endpoint: the worst is shown, with the sums of the counts. Those that have
    ``left`` have requests in flight, which an operator who drains an endpoint waits for.
    """
    if not of:
        return None
    same: dict[tuple[str, str], list[EndpointView]] = {}
    for endpoint in [endpoint for each in of for endpoint in each["endpoints"]]:
        same.setdefault(_which(endpoint), []).append(endpoint)
    endpoints = {which: _endpoint(told) for which, told in same.items()}
    for endpoint in [endpoint for each in left for endpoint in each["endpoints"]]:
        if _which(endpoint) in endpoints:
            endpoints[_which(endpoint)]["in_flight"] += endpoint["in_flight"]
    return {**of[0], "panic": any(each["panic"] for each in of), "endpoints": list(endpoints.values())}


def _which(endpoint: EndpointView) -> tuple[str, str]:
    """Its URL, and the address of the name where that is expanded."""
    return endpoint["url"], endpoint.get("address", "")


def _endpoint(of: Sequence[EndpointView]) -> EndpointView:
    shown = max(of, key=lambda each: (STANDINGS.index(each["standing"]), each["checked_at"]))
    return {
        **shown,
        "in_flight": sum(each["in_flight"] for each in of),
        "attempts": sum(each["attempts"] for each in of),
        "failures": sum(each["failures"] for each in of),
        "breaker": worst(each["breaker"] for each in of),
    }


def _retries(of: Sequence[RetriesView]) -> RetriesView | None:
    """Each worker has a budget of its own."""
    if not of:
        return None
    burst, left = sum(each["burst"] for each in of), sum(each["left"] for each in of)
    return {**of[0], "burst": burst, "left": left, "waiting": sum(each["waiting"] for each in of)}


def _hedge(of: Sequence[HedgeView]) -> HedgeView | None:
    """Each worker measures its own responses, and has a budget of its own."""
    if not of:
        return None
    return {
        **of[0],
        "measured": max(each["measured"] for each in of),
        "samples": sum(each["samples"] for each in of),
        "burst": sum(each["burst"] for each in of),
        "left": sum(each["left"] for each in of),
        "running": sum(each["running"] for each in of),
    }


def _adaptive(of: Sequence[AdaptiveView]) -> AdaptiveView | None:
    """The newest view of what they share."""
    return max(of, key=lambda each: [decision["at"] for decision in each["decisions"][-1:]], default=None)


def _fallback(of: Sequence[FallbackView]) -> FallbackView | None:
    if not of:
        return None
    breaker = worst(each["breaker"] for each in of)
    in_flight = max(each["in_flight"] for each in of)
    return {**of[0], "breaker": breaker, "in_flight": in_flight, "waiting": max(each.get("waiting", 0) for each in of)}


def _token(of: Sequence[TokenView]) -> TokenView | None:
    """All have been given the same; the newest view, and the calls that wait anywhere."""
    if not of:
        return None
    newest = max(of, key=lambda each: (each["version"], each["until"]))
    return {**newest, "waiting": sum(each["waiting"] for each in of)}


def _pool(of: Sequence[PoolView]) -> PoolView:
    return PoolView(
        endpoint=of[0]["endpoint"],
        open=sum(each["open"] for each in of),
        idle=sum(each["idle"] for each in of),
        in_use=sum(each["in_use"] for each in of),
        sessions=sum(each["sessions"] for each in of),
        streams=sum(each["streams"] for each in of),
        dials=sum(each["dials"] for each in of),
        reuses=sum(each["reuses"] for each in of),
        idle_timeout=of[0]["idle_timeout"],
    )


def _names(found: Sequence[Mapping[str, object]]) -> list[str]:
    return list(dict.fromkeys(name for each in found for name in each))


def _when(line: Line) -> float:
    """Seconds of the epoch of a line of the access log."""
    at = line.get("ts")
    return at if isinstance(at, float) else 0.0


class RefusalLog:
    """The refusals of all workers in one list, each line with the number of its worker when there are several.

    A worker counts its own, and another process begins at 0 again. So a cursor is kept for each, and readers have one
    count for all.
    """

    def __init__(self) -> None:
        self._cursors: dict[Hashable, int] = {}
        self._lines: deque[Line] = deque(maxlen=_KEPT_REFUSALS)
        self._count = 0

    def cursor(self, source: Hashable) -> int:
        """What ``source`` has reported so far."""
        return self._cursors.get(source, 0)

    def advance(self, source: Hashable, cursor: int) -> None:
        self._cursors[source] = cursor

    def add(self, lines: Iterable[Line]) -> None:
        """New ones, in any order: they are kept by their time."""
        for line in sorted(lines, key=_when):
            self._lines.append(line)
            self._count += 1

    def since(self, since: int, most: int) -> tuple[int, list[Line]]:
        """How many were added so far, and the newest ``most`` of those after the first ``since``, oldest first."""
        wanted = min(most, len(self._lines), max(0, self._count - since))
        return self._count, list(self._lines)[len(self._lines) - wanted :]


def refusal(errors: Mapping[int, str], *, of: int) -> str:
    """Why none of ``of`` workers applies a configuration, in a sentence. ``errors``: by the number of the worker.

    Where others would apply it, those that refuse are named.
    """
    error = next(iter(errors.values()))
    if len(errors) == of:
        return error
    return f"{error} (worker {', '.join(map(str, sorted(errors)))} of {of} refuses it, so none applies it)"
