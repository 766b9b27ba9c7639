"""The figures as Markdown: the report, and one table for a page of the documentation."""

from __future__ import annotations

from typing import Any

Told = dict[str, Any]
"""An experiment as it stands in report.json."""


METHOD = """\
Each figure is the median of the rounds, in brackets the least and the most of them. A ratio is the median of the
rounds' own ratios against the first row: what the machine does besides falls on both sides of it. Callers and upstream
share one process, and the machine with the gateway, so rates are lower than what the gateway alone can do.
"""


def markdown(report: Told) -> str:
    parts = ["# What settings are worth\n", measured_on(report), METHOD]
    parts += [f"## {name}: {told['title']}\n\n{section(told)}" for name, told in report["experiments"].items()]
    return "\n".join(parts)


def measured_on(report: Told) -> str:
    """When, of what and on what the figures were measured."""
    told = report["machine"]
    shorter = "" if report["scale"] == 1.0 else f" with every duration times {report['scale']:g}"
    return (
        f"Measured by `make tuning`{shorter} on {told['date']}, commit {told['commit']}: {told['cores']} cores of\n"
        f"{told['processor']}, {told['kernel']}, Python {told['python']}, {told['packages']}.\n"
    )


def section(told: Told) -> str:
    """What was done, and what came of it."""
    return f"{told['method']} {told['rounds']} rounds.\n\n{table(told)}"


def table(told: Told) -> str:
    columns = told["columns"]
    head = ["setting"]
    for column in columns:
        head += [column["name"], "ratio"] if column["ratio"] else [column["name"]]
    rows = [[row["setting"], *_cells(columns, row["cells"])] for row in told["rows"]]
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _cells(columns: list[Told], cells: dict[str, list[float]]) -> list[str]:
    found = []
    for column in columns:
        median, least, most = (f"{value:.{column['digits']}f}" for value in cells[column["name"]][:3])
        found.append(median if least == most else f"{median} ({least}-{most})")
        if column["ratio"]:
            found.append(f"{cells[column['name']][3]:.2f}")
    return found
