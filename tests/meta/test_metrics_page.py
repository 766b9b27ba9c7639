"""docs/metrics.md has each family once, with its type, labels, meaning and buckets."""

from __future__ import annotations

import re

import pytest
from meta.sources import ROOT

from gateway.observe.families import ENDPOINT, PROCESS, PROXY, UPSTREAM
from gateway.observe.sheet import Family, Histogram, Requests, Values

PAGE = (ROOT / "docs/metrics.md").read_text()
ELSEWHERE = {
    "gateway_build_info",
    "gateway_worker_up",
    "gateway_worker_starts_total",
    "gateway_worker_crash_loop",
    "gateway_worker_recycled_total",
    "gateway_reloads_total",
    "gateway_certificate_expiry_seconds",
    "gateway_connection_token_status",
    "gateway_connection_token_expiry_seconds",
    "gateway_token_refreshes_total",
}
"""Those that the control process counts; tests/unit/control/metrics/test_telemetry.py."""


def rows() -> dict[str, tuple[str, ...]]:
    found = re.findall(r"^\| `(gateway_\w+)` \| (\w+) \| ([\w, ]*) \| (.*) \|$", PAGE, re.MULTILINE)
    assert len({name for name, *_ in found}) == len(found), "a family stands twice"
    return {name: (kind, *rest) for name, kind, *rest in found}


def described(family: Family, *owner: str) -> tuple[str, ...]:
    labels = [*owner]
    match family:
        case Histogram():
            kind = "histogram"
        case Requests():
            kind = "counter"
            labels += ["method", "status"]
        case Values():
            kind = family.kind
            labels += re.findall(r'(\w+)="', family.labels[0])
    return kind, ", ".join(labels), family.help


def test_every_family_is_described_and_no_other() -> None:
    expected = {family.name: described(family, "proxy") for family in PROXY.families}
    expected |= {family.name: described(family, "upstream") for family in UPSTREAM.families}
    expected |= {family.name: described(family, "upstream", "endpoint") for family in ENDPOINT.families}
    expected |= {family.name: described(family) for family in PROCESS.families}
    found = rows()
    assert found.keys() == expected.keys() | ELSEWHERE
    assert {name: row for name, row in found.items() if name in expected} == expected


@pytest.mark.parametrize("family", [f for f in [*PROXY.families, *PROCESS.families] if isinstance(f, Histogram)])
def test_the_buckets_are_told(family: Histogram) -> None:
    (bounds,) = re.findall(rf"^\|[^|]*`{family.name}`[^|]*\| ([\d., ]+) \|$", PAGE, re.MULTILINE)
    assert tuple(map(float, bounds.split(", "))) == family.bounds
