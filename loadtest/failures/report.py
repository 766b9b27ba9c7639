"""The figures as Markdown and pictures; all of it is made from report.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from failures import endpoints, hedges, overload, stall
from failures.criteria import Report, criteria
from failures.endpoint import FAULTS
from load.report import number
from load.scenario import Size
from load.svg import chart
from load.verdict import Verdict, judge

ENDPOINT_COLUMNS = {
    "failed": "failed requests",
    "failed %": "failed, %",
    "share %": "share of the bad endpoint, %",
    "at the bad one": "requests at it",
    "left alone s": "left alone after, s",
    "after it is known": "requests at it after {known:g} s",
    "p50 ms": "p50, ms",
    "p99 ms": "p99, ms",
    "requests sent for one": "sent for one request",
    "back s": "in use again after, s",
}
OVERLOAD_COLUMNS = {
    "good a second": "good answers a second",
    "% of capacity": "of the capacity, %",
    "rejected %": "rejected, %",
    "too late or gone %": "too late or without an answer, %",
    "p99 ms": "p99 of good answers, ms",
    "most inside": "most at once in the back end",
    "well again s": "well again after, s",
}
STALL_COLUMNS = {
    "learn %": "callers who know, %",
    "after s, median": "after, s (median)",
    "after s, longest": "after, s (longest)",
    "look complete": "streams that look complete",
    "places held": "places held at the end",
    "another caller gets": "another caller gets then",
}
HEDGE_COLUMNS = {
    "failed": "failed requests",
    "p50 ms": "p50, ms",
    "p99 ms": "p99, ms",
    "requests sent for one": "sent for one request",
}
HIGHER = {"good a second", "% of capacity", "learn %"}
NEUTRAL = {"another caller gets", "rejected %", "most inside"}
ALIKE = 0.1
"""Figures that differ by less than this share of the largest are not called better."""
UNITS = {" s,": 0.25, " ms,": 100.0, " %,": 0.05}
"""Nor those that differ by less than this, by the unit at the end of their key."""


def verdicts(report: Report) -> list[Verdict]:
    """Only whole runs are judged."""
    whole = report["scale"] >= 1.0
    seconds = endpoints.BEFORE + endpoints.DURING + endpoints.AFTER
    return judge(criteria(), report, Size(seconds if whole else 0.0, endpoints.RATE))


def markdown(report: Report) -> str:
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield (
        "# Failing endpoints, overload and stalled streams\n\n"
        "The gateway beside other proxies, each set up for the same failures as well as it can be "
        "(`loadtest/failures/targets`). All run at the same time, each with endpoints and callers of its own. The best "
        "of a column stands out, also where it is not the gateway.\n\n"
        "`make failures RECORD=1` writes this again.\n"
    )
    yield "Compared: " + ", ".join(f"{name} {version}" for name, version in report["versions"].items()) + "."
    yield from (f"Not compared: {name} ({why})." for name, why in report["missing"].items())
    yield "\n| what the gateway promises | bound | measured | verdict |\n| --- | --- | --- | --- |"
    found = verdicts(report)
    for verdict in found:
        made = verdict.criterion
        yield f"| {made.name} | {made.bound} | {number(verdict.value)} | {verdict.word} |"
    yield "\nHow each was measured:\n"
    yield from (f"- {verdict.criterion.name}: {verdict.criterion.how}" for verdict in found)
    yield from _endpoints(report)
    yield from _overload(report)
    yield from _stall(report)
    yield from _hedges(report)
    yield from _conditions(report)


def _endpoints(report: Report) -> Iterator[str]:
    before, during, after = endpoints.BEFORE, endpoints.DURING, endpoints.AFTER
    yield (
        f"\n## One of four endpoints fails\n\n{endpoints.RATE:.0f} requests a second to each proxy, at their times. "
        f"From second {before:g} to second {before + during:g} one endpoint fails; {after:g} s follow in which it is "
        "well. Shares, percentiles and requests sent are of the time of the fault, failed requests of the whole run. "
        "Where connections are refused, endpoints see no attempt that fails, so that there is no count (-). An "
        "endpoint that is never left alone has no time for that either, and is in use again at once. Workers of the "
        "gateway have opinions of their own on endpoints, so that two of them send twice as much to a bad one."
    )
    for key, trials in report["endpoints"].items():
        fault = FAULTS[key]
        yield f"\n### One {fault.title}\n\n{fault.story[0].upper()}{fault.story[1:]}.\n"
        yield from table("proxy", ENDPOINT_COLUMNS, trials)
        yield f"\n![Failed requests, one endpoint {fault.title}](failed-{key}.svg)"
        if fault.seen:
            yield f"\n![Share of the endpoint that {fault.title}](share-{key}.svg)"


def _overload(report: Report) -> Iterator[str]:
    yield (
        f"\n## Overload\n\nThe back end works on {overload.CAPACITY} requests at a time for {overload.WORK * 1e3:.0f} "
        f"ms each: it bears {overload.BEARS:.0f} a second. With n > {overload.CAPACITY} inside, a request takes (n / "
        f"{overload.CAPACITY})^1.5 times as long, and it goes on with what its caller has left. Callers come at "
        f"{overload.LOW:g} of what it bears for {overload.BEFORE:g} s, at {overload.HIGH:g} times that for "
        f"{overload.DURING:g} s, and at {overload.LOW:g} again; each hangs up after {overload.PATIENCE:g} s. A fixed "
        "limit is what it bears, with a queue; one that adapts is found between 1 and 100. Figures "
        f"but the last are of the overload from its second {overload.SETTLED:g} on.\n"
    )
    yield from table("limit", OVERLOAD_COLUMNS, report["overload"])
    yield "\n![Goodput over time](goodput.svg)"


def _stall(report: Report) -> Iterator[str]:
    yield (
        f"\n## Stalled streams\n\n{stall.STREAMS} streams of events stop after {stall.EVENTS} events, and each proxy "
        f"admits as many requests. Its bound is {stall.GAP:g} s: of the gateway between two events with data, of "
        f"others of silence on the connection. When all callers know, or after "
        f"{stall.PATIENCE:g} s, another caller comes."
    )
    for kind, trials in report["stall"].items():
        yield f"\n### After three events {stall.KINDS[kind]}\n"
        yield from table("proxy", STALL_COLUMNS, trials)


def _hedges(report: Report) -> Iterator[str]:
    yield (
        f"\n## Slow requests and hedges\n\n{endpoints.RATE:.0f} GETs a second to each proxy, over four endpoints that "
        f"take 20 ms. After {hedges.WARM:g} s some are slow, for {hedges.MEASURED:g} s, of which the figures are. A "
        "hedge goes to another endpoint. The gateway makes hedges within the budget of the retries (0.2 of the "
        "requests and a burst of 10). Envoy makes one when the time of a try is over, within its budget of retries (20 "
        "% of the requests that run, and three at any time). HAProxy and nginx have none."
    )
    for key, trials in report["hedges"].items():
        kind = hedges.KINDS[key]
        yield f"\n### {kind.title}\n\n{kind.story[0].upper()}{kind.story[1:]}.\n"
        yield from table("proxy", HEDGE_COLUMNS, trials)


def _conditions(report: Report) -> Iterator[str]:
    yield "\n## Conditions\n"
    yield from (f"- {name}: {value}." for name, value in report["machine"].items())
    for part, machine in report.get("apart", {}).items():
        yield f"- {part}: measured apart from the rest, and the same in all but this:"
        yield from (f"  - {name}: {value}." for name, value in machine.items() if value != report["machine"].get(name))
    yield (
        "- Callers, endpoints and proxies share the machine; latencies are those of a shared machine, counts and "
        "shares are not. A caller's time counts from when it meant to ask."
    )


def table(first: str, columns: Mapping[str, str], trials: Mapping[str, Any]) -> Iterator[str]:
    """The best of a column stands out, where one is clearly better than another."""
    heads = [text.format(known=endpoints.KNOWN) for text in columns.values()]
    yield f"| {first} | {' | '.join(heads)} |"
    yield "| --- |" + " ---: |" * len(heads)
    best = {key: best_of(key, [trial["figures"][key] for trial in trials.values()]) for key in columns}
    for name, trial in trials.items():
        yield f"| {name} | {' | '.join(shown(trial['figures'][key], best[key]) for key in columns)} |"


def best_of(key: str, values: Sequence[float | None]) -> float | None:
    """None where all are nearly alike, or the figure says nothing of what is better."""
    there = [value for value in values if value is not None]
    if not there or key in NEUTRAL or max(there) - min(there) <= max(ALIKE * max(there), alike(key)):
        return None
    return max(there) if key in HIGHER else min(there)


def alike(key: str) -> float:
    """How much figures of a shared machine differ by chance, by their unit."""
    return next((least for unit, least in UNITS.items() if unit in f"{key},"), 0.0)


def shown(value: float | None, best: float | None) -> str:
    if value is None:
        return "-"
    return f"**{number(value)}**" if value == best else number(value)


def pictures(report: Report) -> dict[str, str]:
    """By file name."""
    found = {}
    scale = report["scale"]
    marks = [(endpoints.BEFORE * scale, "it fails"), ((endpoints.BEFORE + endpoints.DURING) * scale, "it is well")]
    for key, trials in report["endpoints"].items():
        title = FAULTS[key].title
        failed = lines(trials, "failures")
        found[f"failed-{key}.svg"] = chart(f"Failed requests, one endpoint {title}", "a second", failed, marks)
        if FAULTS[key].seen:
            share = lines(trials, "share")
            found[f"share-{key}.svg"] = chart(f"Share of the endpoint that {title}", "%", share, marks)
    spans = [(overload.BEFORE * scale, "overload"), ((overload.BEFORE + overload.DURING) * scale, "its end")]
    served = lines(report["overload"], "goodput")
    found["goodput.svg"] = chart("Served in time", "a second", served, spans, overload.BEARS)
    return found


def lines(trials: Mapping[str, Any], series: str) -> dict[str, Sequence[tuple[float, float]]]:
    return {name: [(at, value) for at, value in trial[series]] for name, trial in trials.items()}
