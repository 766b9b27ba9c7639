"""Writes down what a scenario showed: Markdown, pictures, and the raw data by the second."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from load.findings import Findings, Run
from load.scenario import Chart, Scenario, Size
from load.svg import chart
from load.verdict import Verdict

SATURATED = 0.9
"""Share of a core above which locust, which has one alone, counts as the limit."""
LATE = 0.01
"""Seconds after the intended start; more than one per cent of starts beyond it, and locust was the limit."""
MARKS = 20
"""More lines than this hide the figures."""
PERCENTILES = (50.0, 90.0, 99.0, 99.9)


def write(
    folder: Path, scenario: Scenario, size: Size, findings: Findings, verdicts: list[Verdict], facts: Mapping[str, str]
) -> None:
    """``folder`` is made, and what an earlier run left in it goes away."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in (*folder.glob("*.svg"), *folder.glob("*.csv")):
        old.unlink()
    for name, run in findings.items():
        _requests(folder / f"{name}-requests.csv", run)
        _samples(folder / f"{name}-samples.csv", run)
    for picture in scenario.charts:
        (folder / f"{picture.name}.svg").write_text(drawn(picture, findings))
    (folder / "report.md").write_text("\n".join(text(scenario, size, findings, verdicts, facts)) + "\n")


def text(
    scenario: Scenario, size: Size, findings: Findings, verdicts: list[Verdict], facts: Mapping[str, str]
) -> Iterator[str]:
    """The lines of the report."""
    yield f"# {scenario.name}\n\n{scenario.story}\n"
    command = f"make load SCENARIO={scenario.name} DURATION={size.seconds:g} RATE={size.rate:g} RECORD=1"
    yield f"`{command}` writes this anew.\n"
    yield "| what has to hold | shows | bound | measured | verdict |\n| --- | --- | --- | --- | --- |"
    for verdict in verdicts:
        made = verdict.criterion
        yield f"| {made.name} | {made.shows} | {made.bound} | {number(verdict.value)} | {verdict.word} |"
    yield "\nHow each was measured:\n"
    yield from (f"- {verdict.criterion.name}: {verdict.criterion.how}" for verdict in verdicts)
    if scenario.table is not None:
        head, *rows = scenario.table(findings)
        yield "\n## Compared\n"
        yield f"| {' | '.join(head)} |\n|{' --- |' * len(head)}"
        yield from (f"| {' | '.join(row)} |" for row in rows)
    yield "\n## Runs\n"
    yield from summary(findings)
    yield "\n## Pictures\n"
    yield from (f"![{picture.title}]({picture.name}.svg)\n" for picture in scenario.charts)
    yield "## Conditions\n"
    yield from (f"- {name}: {value}." for name, value in facts.items())
    yield from (f"- {line}" for line in generator(findings))
    yield (
        "- Latency counts from the moment when a request was meant to start, by a schedule that waits for nobody (else "
        "slow moments hide themselves: coordinated omission); the time from the real start stands beside it as service "
        "time. Users without a schedule mean to start when they do."
    )
    yield "- Gateway, sidecar, locust and the watch share the machine. Raw data: the CSV files here, one row a second."


def summary(findings: Findings) -> Iterator[str]:
    """One row for each variant and kind of request; times in milliseconds, of good answers."""
    heads = [*(f"p{percent:g}" for percent in PERCENTILES), "longest"]
    yield (
        "Milliseconds are those of good answers (200): from the intended start, and in brackets from the real one.\n\n"
        "| run | requests | a second | good a second | outcomes | " + " | ".join(heads) + " |\n"
        "| --- | --- | --- | --- | --- |" + " --- |" * len(heads)
    )
    for name, run in findings.items():
        for kind in run.record.kinds:
            latency, service, outcomes = run.latency(kind), run.service(kind), run.outcomes(kind)
            times = " | ".join(
                f"{number(latency.percentile(p) * 1e3)} ({number(service.percentile(p) * 1e3)})"
                for p in (*PERCENTILES, 100.0)
            )
            told = ", ".join(f"{count} x {outcome}" for outcome, count in sorted(outcomes.items()))
            row = f"| {name} | {kind} | {number(run.rate(kind))} | {number(run.good(kind))} | {told}"
            yield f"{row} | {times} |"


def generator(findings: Findings) -> Iterator[str]:
    """Whether locust could do what it was told."""
    for name, run in findings.items():
        busy, late = run.steady("cpu_locust"), run.late()
        share = sum(busy) / len(busy) if busy else math.nan
        behind = late.percentile(99)
        limit = share > SATURATED or behind > LATE
        yield (
            f"{name}: locust took {share:.0%} of a core, and 99 % of its starts were within {behind * 1e3:.1f} ms"
            + (": LOCUST WAS THE LIMIT HERE, or its users waited for late answers." if limit else ".")
        )


def drawn(picture: Chart, findings: Findings) -> str:
    """With what happened meanwhile as lines down, when that is of one run and not too much to see."""
    marks = [(mark.at - run.began, mark.what) for run in findings.values() for mark in run.marks]
    shown = marks if len(findings) == 1 and len(marks) <= MARKS else []
    return chart(picture.title, picture.unit, picture.lines(findings), shown, picture.bound)


def number(value: float) -> str:
    """Three figures, as a reader wants them."""
    if not math.isfinite(value):
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _requests(path: Path, run: Run) -> None:
    with path.open("w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["second", "kind", "requests", "good", "outcomes", "p50_ms", "p90_ms", "p99_ms", "longest_ms"])
        for kind, seconds in run.record.kinds.items():
            for at, second in sorted(seconds.items()):
                outcomes = " ".join(f"{name}={count}" for name, count in sorted(second.outcomes.items()))
                times = [number(second.latency.percentile(p) * 1e3) for p in (50, 90, 99, 100)]
                out.writerow([at - run.began, kind, second.total, second.good, outcomes, *times])


def _samples(path: Path, run: Run) -> None:
    columns = list(dict.fromkeys(name for sample in run.samples for name in sample.figures))
    with path.open("w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["second", *columns])
        for sample in run.samples:
            row = [f"{sample.figures[name]:.6g}" if name in sample.figures else "" for name in columns]
            out.writerow([f"{sample.at - run.began:.2f}", *row])
