"""The table of attacks at the gateway and at other proxies, from what `make oracles` recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

GATEWAY = "gateway"


def section(record: Mapping[str, Any]) -> str:
    """Markdown: a summary, then a table for each group."""
    names = [GATEWAY, *record["versions"]]
    parts = [_summary(record, names)]
    for group in record["groups"]:
        head = f"### {group['name']}\n\n{group['why']}\n\n| | {' | '.join(names)} |\n| --- |{' --- |' * len(names)}\n"
        parts.append(head + "".join(_row(name, cells, names) for name, cells in group["rows"].items()))
    return "\n".join(parts)


def _row(name: str, cells: Mapping[str, tuple[str, int]], names: list[str]) -> str:
    """In bold what does more harm than the gateway does."""
    mine = cells[GATEWAY][1]
    words = [f"**{cells[who][0]}**" if cells[who][1] > mine else cells[who][0] for who in names]
    return f"| {name.replace('|', chr(92) + '|')} | {' | '.join(words)} |\n"


def _summary(record: Mapping[str, Any], names: list[str]) -> str:
    rows = [cells for group in record["groups"] for cells in group["rows"].values()]
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    lines = [f"{len(rows)} attacks on {record['date']}, against {versions}.\n\n| | {' | '.join(names[1:])} |\n"]
    lines.append(f"| --- |{' --- |' * (len(names) - 1)}\n")
    for title, sign in (("more harm than at the gateway", 1), ("less harm than at the gateway", -1)):
        counts = [sum(sign * (cells[who][1] - cells[GATEWAY][1]) > 0 for cells in rows) for who in names[1:]]
        lines.append(f"| attacks that do {title} | {' | '.join(map(str, counts))} |\n")
    return "".join(lines)
