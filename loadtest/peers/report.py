"""A record in words and tables: the report of a run, and the part of docs/peers.md between its marks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from loadtest.peers.case import CASES, MOST, STREAMS
from loadtest.peers.idle import CONNECTIONS
from loadtest.peers.pacer import DELAY, FRAMES, PACE
from loadtest.peers.record import Record
from loadtest.peers.streams import STALL
from loadtest.peers.target import DIRECT, REFERENCE
from loadtest.peers.tls import URIS

BEGIN, END = "<!-- peers:begin -->", "<!-- peers:end -->"
US, COMPILED = "gateway", "compiled"
BUSY = 0.5
"""Load before a run above which somebody else used the machine."""
LOST_LINES = 0.99
"""Fewer log lines a request than this are told."""


@dataclass(frozen=True)
class Row:
    """One line of the table: a figure of a case."""

    told: str
    case: str
    figure: str
    digits: int = 0
    ratio: bool = False


ROWS = (
    Row("small GET, us of CPU", "get", "cpu_us", 1, ratio=True),
    Row("POST of 1 KB, us of CPU", "post1k", "cpu_us", 1, ratio=True),
    Row("answer of 64 KB, us of CPU", "body64k", "cpu_us", 1, ratio=True),
    Row("answer of 10 MB, us of CPU", "body10m", "cpu_us", 0, ratio=True),
    Row("small GET over TLS to the origin, us of CPU", "https", "cpu_us", 1, ratio=True),
    Row("64 KB over TLS from the origin, us of CPU", "https64k", "cpu_us", 1, ratio=True),
    Row("added latency p50, us", "latency", "added_p50_us"),
    Row("added latency p99, us", "latency", "added_p99_us"),
    Row(f"requests a second, upstream takes {DELAY * 1e3:.0f} ms", "slow", "requests_per_second"),
    Row("most streams without a stall", "streams", "streams"),
    Row(f"a frame at {STREAMS} streams, us of CPU", "frames", "cpu_us", 1, ratio=True),
    Row(f"latest frame at {STREAMS} streams, ms", "frames", "worst_late_ms"),
    Row("memory at the start, MiB", "memory", "start_mib"),
    Row(f"memory with {CONNECTIONS} idle connections, MiB", "memory", "idle_mib"),
    Row("memory after they left, MiB", "memory", "left_mib"),
    Row("small GET over TLS, us of CPU", "tls", "cpu_us", 1, ratio=True),
    Row("small GET over HTTP/2, 1 stream, us of CPU", "h2x1", "cpu_us", 1, ratio=True),
    Row("small GET over HTTP/2, 8 streams, us of CPU", "h2x8", "cpu_us", 1, ratio=True),
    Row(f"the same with {URIS} URIs, us of CPU", "h2uris", "cpu_us", 1, ratio=True),
    Row("64 KB over HTTP/2, 4 streams, us of CPU", "h2body64k", "cpu_us", 1, ratio=True),
    Row("small GET over HTTP/2 on both sides, us of CPU", "h2up", "cpu_us", 1, ratio=True),
    Row("TLS handshake and one request, us of CPU", "handshake", "cpu_us", ratio=True),
    Row("resumed TLS handshake and one request, us of CPU", "resumed", "cpu_us", ratio=True),
    Row("an idle connection with TLS, KiB", "memorytls", "connection_kib", 1),
    Row("an idle connection with HTTP/2, KiB", "memoryh2", "connection_kib", 1),
)


@dataclass(frozen=True)
class Budget:
    """What design and specification ask for; ``measured`` takes it from a record, None when it was not measured."""

    told: str
    measured: Callable[[Record], float | None]
    bound: float
    unit: str
    at_least: bool = False

    def held(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound


def at_most(bound: float, title: str, case: str, target: str = US, to: str = REFERENCE) -> Budget:
    """CPU of a case against that of another target."""
    words = {REFERENCE: "HAProxy's", "envoy": "Envoy's", "caddy": "Caddy's"}[to]
    title = f"CPU of {title}{', compiled' if target == COMPILED else ''}, against {words}"
    return Budget(title, lambda r: r.ratio(case, target, "cpu_us", to), bound, "x")


BUDGETS = (
    Budget("CPU of a small GET, against HAProxy's", lambda r: r.ratio("get", US, "cpu_us"), 2.5, "x"),
    Budget("Envoy's CPU of a small GET, against ours", lambda r: r.ratio("get", "envoy", "cpu_us", US), 2, "x", True),
    Budget("Caddy's CPU of a small GET, against ours", lambda r: r.ratio("get", "caddy", "cpu_us", US), 2, "x", True),
    Budget("CPU of an answer of 10 MB, against HAProxy's", lambda r: r.ratio("body10m", US, "cpu_us"), 1.2, "x"),
    Budget("CPU of an answer of 64 KB, against HAProxy's", lambda r: r.ratio("body64k", US, "cpu_us"), 1.5, "x"),
    Budget(
        f"CPU of a frame at {STREAMS} streams, against HAProxy's", lambda r: r.ratio("frames", US, "cpu_us"), 1.5, "x"
    ),
    Budget(
        "Envoy's CPU of a small GET, against ours when compiled",
        lambda r: r.ratio("get", "envoy", "cpu_us", COMPILED),
        2,
        "x",
        True,
    ),
    Budget("added latency p99", lambda r: _milliseconds(r.figure("latency", US, "added_p99_us")), 5, "ms"),
    at_most(1.7, "a small GET over TLS", "tls"),
    at_most(1.8, "HTTP/2, 1 stream", "h2x1"),
    at_most(1.4, "HTTP/2, 1 stream", "h2x1", COMPILED),
    at_most(2.2, "HTTP/2, 8 streams", "h2x8"),
    at_most(1.7, "HTTP/2, 8 streams", "h2x8", COMPILED),
    at_most(0.95, "HTTP/2, 8 streams", "h2x8", to="envoy"),
    at_most(0.7, "HTTP/2, 8 streams", "h2x8", COMPILED, "envoy"),
    at_most(0.33, "HTTP/2, 8 streams", "h2x8", to="caddy"),
    at_most(3.2, f"HTTP/2 with {URIS} URIs", "h2uris"),
    at_most(2.1, f"HTTP/2 with {URIS} URIs", "h2uris", COMPILED),
    at_most(1.3, "64 KB over HTTP/2", "h2body64k"),
    Budget("CPU that HTTP/2 to the origin adds to HTTP/2, 8 streams", lambda r: _more(r, "h2up", "h2x8"), 3, "us"),
    Budget("an idle connection with TLS", lambda r: r.figure("memorytls", US, "connection_kib"), 40, "KiB"),
    Budget("an idle connection with HTTP/2", lambda r: r.figure("memoryh2", US, "connection_kib"), 40, "KiB"),
)


def _milliseconds(microseconds: float | None) -> float | None:
    return None if microseconds is None else microseconds / 1e3


def _more(record: Record, case: str, than: str) -> float | None:
    """CPU of the gateway, in us a request."""
    dear, cheap = (record.figure(name, US, "cpu_us") for name in (case, than))
    return None if dear is None or cheap is None else dear - cheap


def cell(record: Record, row: Row, target: str) -> str:
    """``12.3 (1.05 x)``; ``failed`` when it was tried in vain; ``-`` when it was not tried."""
    value = record.figure(row.case, target, row.figure)
    if value is None:
        tried = any(s.error for s in record.samples if (s.case, s.target) == (row.case, target))
        return "failed" if tried else "-"
    ratio = record.ratio(row.case, target, row.figure) if row.ratio else None
    return f"{value:,.{row.digits}f}" + ("" if ratio is None else f" ({ratio:.2f} x)")


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows)]


def figures(record: Record) -> list[str]:
    """The one table: figures down, targets across."""
    targets = record.targets()
    measured = {sample.case for sample in record.samples}
    rows = [[row.told, *(cell(record, row, t) for t in targets)] for row in ROWS if row.case in measured]
    return table(["", *targets], rows)


def budgets(record: Record) -> list[str]:
    """Each budget with what was measured, and whether it holds."""
    rows = []
    for budget in BUDGETS:
        value, asked = budget.measured(record), f"{'at least' if budget.at_least else 'at most'} {budget.bound:g}"
        word = "not measured" if value is None else "held" if budget.held(value) else "MISSED"
        rows.append(
            [budget.told, f"{asked} {budget.unit}", "-" if value is None else f"{value:.2f} {budget.unit}", word]
        )
    return table(["budget", "asked", "measured", ""], rows)


def verdict(record: Record) -> str:
    """Who needs more CPU for a small GET and who less, and which budgets are missed.

    Who did not answer every request is not compared: what a failure costs says nothing.
    """
    others = [t for t in record.targets() if t not in (US, COMPILED) and not record.figure("get", t, "errors")]
    ratios = {target: record.ratio("get", target, "cpu_us", US) for target in others}
    told = []
    for word, ahead in (("less CPU than", True), ("more CPU than", False)):
        names = [f"{name} ({ratio:.2f} x ours)" for name, ratio in ratios.items() if ratio and (ratio > 1) == ahead]
        told += [f"{word} {', '.join(names)}"] if names else []
    missed = [b.told for b in BUDGETS if (value := b.measured(record)) is not None and not b.held(value)]
    sentences = [f"For a small GET the gateway needs {', and '.join(told)}."] if told else []
    known = any(b.measured(record) is not None for b in BUDGETS)
    if known:
        sentences.append(f"Missed: {'; '.join(missed)}." if missed else "Each budget that was measured is held.")
    return " ".join(sentences)


def where(record: Record) -> str:
    machine = record.machine
    busy = " The machine was busy with other things: do not trust these figures." if record.load > BUSY else ""
    return (
        f"Measured {record.measured} at commit {record.commit}, {record.rounds} rounds of {record.seconds} s, medians. "
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory']}, {machine['kernel']}, "
        f"Python {machine['python']}; load of the machine before: {record.load:.1f}.{busy}"
    )


def remarks(record: Record) -> list[str]:
    """What must be known to read the table: what is missing, what differs, what went wrong."""
    told = [f"- {name} was not measured: {why}." for name, why in record.missing.items()]
    told += [f"- {name}: {'; '.join(these)}." for name, these in record.differences.items() if these]
    told += [f"- {s.target}, {s.case}, round {s.round}: {s.error}." for s in record.errors()]
    for target in record.targets():
        for case in CASES:
            errors = record.figure(case, target, "errors")
            lines = record.figure(case, target, "log_lines_per_request")
            if errors:
                told.append(f"- {target}, {case}: {errors:.0f} requests failed (median of the rounds).")
            if lines is not None and lines < LOST_LINES:
                told.append(f"- {target}, {case}: {lines:.2f} log lines a request.")
    return told


def page(record: Record) -> str:
    """What stands in docs/peers.md, marks included."""
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    explained = (
        f"In brackets: against {REFERENCE}, in the same round. `{DIRECT}` is no proxy at all: what origin and client "
        f"can do on their core. Streams have {FRAMES} frames, one each {PACE * 1e3:.0f} ms; a stall is a frame more "
        f"than {STALL * 1e3:.0f} ms late; {MOST} is as far as the search goes."
    )
    parts = [BEGIN, "", verdict(record), "", *figures(record), "", explained, "", *budgets(record), ""]
    parts += [where(record), "", f"Versions: {versions}.", ""]
    notes = remarks(record)
    return "\n".join([*parts, *notes, *([""] if notes else []), END])


def spreads(record: Record) -> list[str]:
    """How far the rounds lie apart, for the rows that have ratios."""
    rows = [
        [row.told, target, f"{least:,.{row.digits}f}", f"{most:,.{row.digits}f}"]
        for row in ROWS
        if row.ratio
        for target in record.targets()
        if (found := record.spread(row.case, target, row.figure)) is not None
        for least, most in (found,)
    ]
    return table(["", "target", "least", "most"], rows)


def report(record: Record) -> str:
    """The report of a run, in Markdown."""
    body = page(record).removeprefix(BEGIN).removesuffix(END).strip()
    cases = [f"- {name}: {case.told}." for name, case in CASES.items()]
    return "\n".join(
        [
            "# Side by side",
            "",
            "Written by `make peers` from `raw.json`. Method and weaknesses: `loadtest/peers/README.md`.",
            "",
            body,
            "",
            "## Cases",
            "",
            *cases,
            "",
            "## Least and most of the rounds",
            "",
            *spreads(record),
            "",
        ]
    )


def put_into(text: str, region: str) -> str:
    """``text`` with ``region`` between its marks. ValueError when the marks are not there once each, in order."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after or END in after:
        raise ValueError(f"one {BEGIN} and after it one {END} are needed")
    return before + region + after
