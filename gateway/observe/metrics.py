"""Counts what happened into the map, and updates the gauges at a scrape. Called between exchanges only."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from time import time
from typing import Final

from gateway.core.exchange import Exchange
from gateway.core.fallback import CAUSES, REJECTED
from gateway.core.message import HTTP_2, VERSIONS
from gateway.core.stream import TUNNEL_ENDS
from gateway.observe import families
from gateway.observe.counters import CounterMap
from gateway.observe.families import UNROUTED
from gateway.observe.hedges import hedge_cells
from gateway.observe.model_usage import counts_of, times_of
from gateway.observe.sheet import EXEMPLAR_CELLS, METHODS, OTHER, Histogram
from gateway.observe.timing import PHASES, Phases

_METHODS: Final = {name.encode(): index for index, name in enumerate(METHODS)}
_REASONS: Final = {code: families.ERRORS + index for index, code in enumerate(families.REASONS)}
_SHADOWED: Final = {code: families.SHADOW_REFUSALS + index for index, code in enumerate(families.SHADOWED)}
_RETRIED: Final = {word: families.RETRIES + index for index, word in enumerate(families.RETRIED)}
_STATUS: Final = _RETRIED["status"]
_TO_SHADOW: Final = families.SHADOW_RETRIES - families.RETRIES - 1
"""From the cell of a retry to that of one in shadow mode, where none is stale."""
_WITHHELD: Final = {word: families.RETRIES_WITHHELD + index for index, word in enumerate(families.WITHHELD)}
_MOVES: Final = {move: families.BREAKER_MOVES + index for index, move in enumerate(families.TRANSITIONS)}
_QUEUED, _FIRST_BYTE, _OWN = (PHASES.index(phase) for phase in ("queue", "first_byte", "own"))
_EXEMPLAR_SECONDS: Final = 1.0
_MAX_ID: Final = 64
_DURATION, _OVERHEAD, _LATENCY, _TTFB = (
    families.DURATION,
    families.OVERHEAD,
    families.UPSTREAM_LATENCY,
    families.TTFB,
)
_DURATION_SUM, _OVERHEAD_SUM, _LATENCY_SUM, _TTFB_SUM = (
    histogram.sum_at for histogram in (_DURATION, _OVERHEAD, _LATENCY, _TTFB)
)
_FEW: Final = 4
"""Fewer exchanges than this are cheaper one by one."""


class _Proxy:
    """Where a proxy's numbers are."""

    __slots__ = ("base", "cells", "exemplars_at", "looked_at", "stance")

    def __init__(self, base: int, cells: dict[tuple[bytes, int], int]) -> None:
        self.base = base
        self.cells = cells
        """Cell of the count by (method, status)."""
        self.exemplars_at = [-_EXEMPLAR_SECONDS] * (len(_DURATION.bounds) + 1)
        """When each bucket got its exemplar, on the monotonic clock."""
        self.looked_at = -_EXEMPLAR_SECONDS
        self.stance: object = None
        """As `Metrics.differs` was called with last."""


class Metrics:
    """The writer of one map."""

    def __init__(self, counters: CounterMap) -> None:
        self._counters = counters
        self._ints = counters.ints
        self._floats = counters.floats
        self._proxies: dict[str, _Proxy] = {}
        self._count_for([UNROUTED])  # and what a process before this one counted stays for `retain` to decide

    def retain(self, names: Iterable[str]) -> None:
        """Count for these proxies and for what has no route; the numbers of all others are forgotten."""
        wanted = {UNROUTED, *names}
        for gone in set(self._counters.names()) - wanted:
            self._counters.release(gone)
            self._proxies.pop(gone, None)
        self._count_for(wanted - self._proxies.keys())

    def _count_for(self, names: Iterable[str]) -> None:
        for name in names:
            base = self._counters.claim(name)
            if base is not None:
                self._proxies[name] = _Proxy(base, self._known_cells(base))

    # -- what happened

    def record(self, name: str, exchanges: Sequence[Exchange], spent: Sequence[Phases]) -> None:
        """These exchanges of one proxy have ended; ``spent`` are their phases, in the same order.

        Many at a time cost a fifth of what each alone does, for sums and sorting run in C; few cost more that way.
        Exchanges of a proxy that was deleted meanwhile are not counted.
        """
        proxy = self._proxies.get(name or UNROUTED)
        if proxy is None:
            return
        if len(exchanges) < _FEW:
            for ex, times in zip(exchanges, spent, strict=True):
                self._record_one(proxy, ex, times, ex.end_at - ex.start_at)
            return
        ints, floats, base = self._ints, self._floats, proxy.base
        counts: dict[tuple[bytes, int], int] = {}
        for ex in exchanges:
            key = ex.request.method, ex.status
            counts[key] = counts.get(key, 0) + 1
        for (method, status), count in counts.items():
            ints[proxy.cells.get((method, status)) or self._request_cell(proxy, method, status)] += count
        durations = [ex.end_at - ex.start_at for ex in exchanges]
        self._observe_all(base, _DURATION, durations)
        self._keep_exemplars(proxy, exchanges, durations)
        columns = list(zip(*spent, strict=True))
        for cell, column in enumerate(columns, base + families.PHASE):
            floats[cell] += sum(column)
        self._observe_all(base, _OVERHEAD, columns[_OWN])
        self._observe_all(base, families.QUEUE, [queued for queued in columns[_QUEUED] if queued])
        answered = [times[_FIRST_BYTE] for ex, times in zip(exchanges, spent, strict=True) if ex.attempt.first_byte_at]
        self._observe_all(base, _LATENCY, answered)
        self._observe_all(base, _TTFB, [ex.commit_at - ex.start_at for ex in exchanges if ex.commit_at])
        ints[base + families.BYTES_IN] += sum([ex.bytes_in for ex in exchanges])
        ints[base + families.BYTES_OUT] += sum([ex.bytes_out for ex in exchanges])
        self._count_protocols(base, exchanges)
        for ex in exchanges:
            if (
                ex.reason
                or ex.streamed
                or ex.shadow
                or ex.failures
                or ex.fallback
                or ex.retries
                or ex.usage
                or ex.hedge
            ):
                self._record_rare(base, ex)

    def _count_protocols(self, base: int, exchanges: Sequence[Exchange]) -> None:
        """By the versions of both sides. Lists of them are counted in C; one by one costs ten times that."""
        ints, at = self._ints, base + families.BY_PROTOCOL
        spoken = [ex.request.minor for ex in exchanges]
        one, two = spoken.count(1), spoken.count(HTTP_2)
        ints[at] += len(spoken) - one - two
        ints[at + 1] += one
        ints[at + HTTP_2] += two
        at = base + families.BY_UPSTREAM_PROTOCOL
        asked = [ex.attempt.http_version for ex in exchanges]
        for cell, version in enumerate(VERSIONS[1:], at):
            ints[cell] += asked.count(version)

    def record_tunnel(self, ex: Exchange, spent: Phases) -> None:
        """A tunnel has ended. As a request it counts up to its switch: how long it was open is no one's latency."""
        proxy = self._proxies.get(ex.proxy)
        if proxy is None:
            return
        identity, queue, pool, dial, upload, first_byte, _, _, own = spent
        before = identity, queue, pool, dial, upload, first_byte, 0.0, 0.0, own
        self._record_one(proxy, ex, before, ex.commit_at - ex.start_at)
        tunnel = ex.downstream.tunnel
        if tunnel is not None and tunnel.ending in TUNNEL_ENDS:
            self._ints[proxy.base + families.TUNNELS_ENDED + TUNNEL_ENDS.index(tunnel.ending)] += 1
        for cell, amount in enumerate((ex.bytes_in, ex.bytes_out), proxy.base + families.TUNNEL_BYTES):
            self._ints[cell] += amount
        self._observe(proxy.base, families.TUNNEL_DURATION, ex.end_at - ex.commit_at)

    def _record_one(self, proxy: _Proxy, ex: Exchange, spent: Phases, duration: float) -> None:
        """As `record`, for one."""
        ints, floats, base = self._ints, self._floats, proxy.base
        method, status = ex.request.method, ex.status
        ints[proxy.cells.get((method, status)) or self._request_cell(proxy, method, status)] += 1
        bucket = bisect_left(_DURATION.bounds, duration)
        ints[base + _DURATION.at + bucket] += 1
        floats[base + _DURATION_SUM] += duration
        if ex.end_at - proxy.exemplars_at[bucket] >= _EXEMPLAR_SECONDS:
            proxy.exemplars_at[bucket] = ex.end_at
            self._keep_exemplar(base, bucket, ex, duration)
        cell = base + families.PHASE
        for seconds in spent:
            if seconds:
                floats[cell] += seconds
            cell += 1
        own = spent[_OWN]
        ints[base + _OVERHEAD.at + bisect_left(_OVERHEAD.bounds, own)] += 1
        floats[base + _OVERHEAD_SUM] += own
        if spent[_QUEUED]:
            self._observe(base, families.QUEUE, spent[_QUEUED])
        if ex.attempt.first_byte_at:
            latency = spent[_FIRST_BYTE]
            ints[base + _LATENCY.at + bisect_left(_LATENCY.bounds, latency)] += 1
            floats[base + _LATENCY_SUM] += latency
        if ex.commit_at:
            ttfb = ex.commit_at - ex.start_at
            ints[base + _TTFB.at + bisect_left(_TTFB.bounds, ttfb)] += 1
            floats[base + _TTFB_SUM] += ttfb
        ints[base + families.BY_PROTOCOL + ex.request.minor] += 1
        if ex.attempt.http_version:
            ints[base + families.BY_UPSTREAM_PROTOCOL + (ex.attempt.http_version != "1.1")] += 1
        if ex.bytes_in:
            ints[base + families.BYTES_IN] += ex.bytes_in
        if ex.bytes_out:
            ints[base + families.BYTES_OUT] += ex.bytes_out
        if ex.reason or ex.streamed or ex.shadow or ex.failures or ex.fallback or ex.retries or ex.usage or ex.hedge:
            self._record_rare(base, ex)

    def _record_rare(self, base: int, ex: Exchange) -> None:
        ints = self._ints
        if ex.reason in _REASONS:
            ints[base + _REASONS[ex.reason]] += 1
        if ex.shadow in _SHADOWED:
            ints[base + _SHADOWED[ex.shadow]] += 1
        if ex.quota is not None:
            for kind in ex.quota.limited:
                ints[base + families.RATE_LIMITED + kind] += 1
        if ex.streamed:
            self._observe(base, families.STREAM, ex.end_at - ex.start_at)
        for failure in ex.failures:
            ints[base + _RETRIED.get(failure, _STATUS)] += 1
        behind = ex.fallback
        rejected = behind is not None and behind.rejected
        for retries in (ex.retries, None if rejected else behind):  # of both upstreams
            if retries is not None:
                if retries.withheld:
                    ints[base + _WITHHELD[retries.withheld]] += 1
                if retries.shadowed:
                    ints[base + _RETRIED.get(retries.shadowed, _STATUS) + _TO_SHADOW] += 1
        if ex.hedge is not None:
            for cell in hedge_cells(ex.hedge):
                ints[base + cell] += 1
        if behind is not None and behind.rejected:
            ints[base + families.FALLBACKS_WITHHELD + REJECTED.index(behind.rejected)] += 1
        elif behind is not None:
            ints[base + families.FALLBACKS + CAUSES.index(behind.label)] += 1
        if ex.usage is not None:
            for cell, amount in counts_of(ex.usage):
                ints[base + cell] += amount
            for histogram, value in times_of(ex.usage, ex.start_at):
                self._observe(base, histogram, value)

    def breaker_moved(self, proxy: str, old: str, new: str, reason: str, now: float) -> None:
        """``now`` is a reading of the monotonic clock."""
        found = self._proxies.get(proxy)
        if found is None:
            return
        cell = _MOVES.get((old, new, reason))
        if cell is not None:
            self._ints[found.base + cell] += 1
        self.note_open(proxy, now if new == "open" else 0.0, now)

    def endpoint_changed(self, proxy: str, cause: str) -> None:
        """``cause``: one of `families.ENDPOINT_CHANGES_BY`."""
        found = self._proxies.get(proxy)
        if found is not None:
            self._ints[found.base + families.ENDPOINT_CHANGES + families.ENDPOINT_CHANGES_BY.index(cause)] += 1

    def limit_decided(self, proxy: str, cause: str) -> None:
        """``cause``: one of `families.DECISION_CAUSES`."""
        self.add(((families.ADAPTIVE_DECISIONS + families.DECISION_CAUSES.index(cause), 1),), proxy)

    def note_open(self, proxy: str, since: float, now: float) -> None:
        """The breaker is open since then; 0: it is not. Both on the monotonic clock."""
        found = self._proxies.get(proxy)
        if found is None:
            return
        at = found.base + families.OPENED_AT
        before = self._floats[at]
        if before and not since:
            self._floats[found.base + families.OPEN_SECONDS] += max(0.0, now - before)
        self._floats[at] = since

    def upstream_closed(self, proxy: str, seconds: float) -> None:
        """The connection to the upstream ended so long after the client had left."""
        found = self._proxies.get(proxy)
        if found is not None:
            self._observe(found.base, families.CLIENT_GONE, seconds)

    def observe(self, histogram: Histogram, seconds: float) -> None:
        """Of the process itself."""
        self._observe(0, histogram, seconds)

    # -- how things stand

    def note(self, cells: Iterable[tuple[int, int]], proxy: str = "") -> None:
        """Set gauges, or counters that another part keeps: (cell, value); of the process itself without a proxy."""
        found = self._proxies.get(proxy)
        if found is not None or not proxy:
            ints, base = self._ints, found.base if found is not None else 0
            for cell, value in cells:
                ints[base + cell] = value

    def differs(self, proxy: str, stance: object) -> bool:
        """Whether gauges have to be written, because ``stance`` is not what it was at the last call; None: always."""
        found = self._proxies.get(proxy)
        if found is None:
            return False
        before, found.stance = found.stance, stance
        return stance is None or stance != before

    def add(self, cells: Iterable[tuple[int, int]], proxy: str) -> None:
        """Add to counters of a proxy: (cell, amount)."""
        found = self._proxies.get(proxy)
        if found is not None:
            for cell, amount in cells:
                self._ints[found.base + cell] += amount

    # -- inside

    def _observe(self, base: int, histogram: Histogram, value: float) -> None:
        self._ints[base + histogram.at + bisect_left(histogram.bounds, value)] += 1
        self._floats[base + histogram.sum_at] += value

    def _observe_all(self, base: int, histogram: Histogram, values: Sequence[float]) -> None:
        if not values:
            return
        ordered = sorted(values)
        at, below = base + histogram.at, 0
        for bucket, bound in enumerate(histogram.bounds):
            upto = bisect_right(ordered, bound, below)
            self._ints[at + bucket] += upto - below
            below = upto
            if below == len(ordered):
                break
        else:
            self._ints[at + len(histogram.bounds)] += len(ordered) - below
        self._floats[base + histogram.sum_at] += sum(ordered)

    def _known_cells(self, base: int) -> dict[tuple[bytes, int], int]:
        """What a process before this one has counted already."""
        cells = {}
        for at in range(base + families.REQUESTS.at, base + families.REQUESTS.at + 2 * families.REQUESTS.room, 2):
            key = self._ints[at]
            if key:
                cells[METHODS[key % 16 - 1].encode(), key // 16] = at + 1
        return cells

    def _request_cell(self, proxy: _Proxy, method: bytes, status: int) -> int:
        known = method if method in _METHODS else METHODS[OTHER].encode()
        cell = proxy.cells.get((known, status)) or self._new_cell(proxy, known, status)
        if known is method:  # a method that a caller made up is not remembered
            proxy.cells[method, status] = cell
        return cell

    def _new_cell(self, proxy: _Proxy, method: bytes, status: int) -> int:
        first = proxy.base + families.REQUESTS.at
        last = first + 2 * (families.REQUESTS.room - 1)
        at = next((at for at in range(first, last, 2) if not self._ints[at]), last)
        if at == last:  # no room: the rest is counted together
            method, status = METHODS[OTHER].encode(), 0
        self._ints[at] = status * 16 + _METHODS[method] + 1
        proxy.cells[method, status] = at + 1
        return at + 1

    def _keep_exemplars(self, proxy: _Proxy, exchanges: Sequence[Exchange], durations: Sequence[float]) -> None:
        """One a second for each bucket: which request it was. A new slowest one is always seen."""
        now, kept = exchanges[-1].end_at, proxy.exemplars_at
        slowest = bisect_left(_DURATION.bounds, max(durations))
        if now - proxy.looked_at < _EXEMPLAR_SECONDS and now - kept[slowest] < _EXEMPLAR_SECONDS:
            return
        proxy.looked_at = now
        for ex, duration in zip(exchanges, durations, strict=True):
            bucket = bisect_left(_DURATION.bounds, duration)
            if now - kept[bucket] >= _EXEMPLAR_SECONDS:
                kept[bucket] = now
                self._keep_exemplar(proxy.base, bucket, ex, duration)

    def _keep_exemplar(self, base: int, bucket: int, ex: Exchange, value: float) -> None:
        """One a second for each bucket: which request it was."""
        at = base + _DURATION.exemplars + bucket * EXEMPLAR_CELLS
        name = ex.trace_id or ex.request_id[:_MAX_ID]
        self._ints[at + 2] = 0
        self._floats[at] = time()
        self._floats[at + 1] = value
        start = (at + 3) * 8
        self._counters.bytes[start : start + len(name)] = name
        # The sign tells a trace's id from a request's.
        self._ints[at + 2] = -len(name) if ex.trace_id else len(name)
