"""The rules of Prometheus: they load, each fault fires its own alerts and no other, and each alert says what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness import metrics
from harness.prometheus import SOURCE, promtool

from gateway.errors import REASONS, Reason

pytestmark = pytest.mark.timeout(180)  # the first time, promtool may have to be fetched

ROOT = Path(__file__).resolve().parents[2]
RECORDING, ALERTS = (yaml.safe_load((SOURCE / "rules" / name).read_text()) for name in ("recording.yml", "alerts.yml"))
TESTS = sorted(path.name for path in (SOURCE / "tests").glob("*.yml"))


def rules(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [rule for group in document["groups"] for rule in group["rules"]]


def alert_names() -> set[str]:
    return {rule["alert"] for rule in rules(ALERTS)}


def test_the_configuration_loads(tmp_path: Path) -> None:
    """With its rules. The token is not there: whoever runs it makes it."""
    text = (SOURCE / "prometheus.yml").read_text()
    (tmp_path / "prometheus.yml").write_text(text)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/token").write_text("secret")
    (tmp_path / "rules").symlink_to(SOURCE / "rules")
    done = promtool("check", "config", tmp_path / "prometheus.yml")
    assert done.returncode == 0, done.stderr
    assert "2 rule files found" in done.stdout


@pytest.mark.parametrize("name", ["recording.yml", "alerts.yml"])
def test_rules_are_valid(name: str) -> None:
    done = promtool("check", "rules", f"rules/{name}")
    assert done.returncode == 0, done.stderr + done.stdout
    assert "SUCCESS" in done.stdout


@pytest.mark.parametrize("name", TESTS)
def test_each_fault_fires_its_own_alerts(name: str) -> None:
    done = promtool("test", "rules", f"tests/{name}")
    assert done.returncode == 0, done.stderr + done.stdout


def test_each_alert_is_seen_to_fire() -> None:
    """...with each of its severities."""
    text = "".join((SOURCE / "tests" / name).read_text() for name in TESTS)
    fired = set(re.findall(r'alertname="(\w+)", severity="(\w+)"', text))
    assert fired == {(rule["alert"], rule["labels"]["severity"]) for rule in rules(ALERTS)}


def test_each_test_of_a_fault_asks_for_all_alerts() -> None:
    for name in TESTS:
        for test in yaml.safe_load((SOURCE / "tests" / name).read_text())["tests"]:
            asked = [case["expr"] for case in test["promql_expr_test"]]
            assert any("(ALERTS{alertstate=" in expr for expr in asked), test["name"]


def test_each_alert_tells_what_it_means_and_what_to_do() -> None:
    for rule in rules(ALERTS):
        assert rule["labels"]["severity"] in {"page", "ticket", "info"}, rule["alert"]
        assert rule["labels"]["fault"] in {"upstream", "gateway", "client", "protection"}, rule["alert"]
        assert rule["annotations"].keys() == {"summary", "description", "runbook"}, rule["alert"]
        assert len(rule["annotations"]["description"]) > 80, rule["alert"]


def test_each_runbook_is_a_page_about_a_reason_or_a_section() -> None:
    for rule in rules(ALERTS):
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        if reason := re.fullmatch(r"docs/reasons/(\w+)\.md", page):
            assert reason[1] in REASONS
            assert (ROOT / page).is_file() or not (ROOT / "docs/reasons").is_dir()
        else:
            headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


AFTER_THE_HEAD = {"tunnel_idle_timeout", "no_event_stream"}
"""Reasons of what has begun already: no status is written for them."""


def written_reasons() -> list[Reason]:
    return [r for r in REASONS.values() if r.status >= 500 and r.code not in AFTER_THE_HEAD]


def test_the_statuses_that_the_gateway_writes_are_those_of_its_table() -> None:
    """Else its own 5xx would be taken for the upstream's. A tunnel has its 101 already when it is cut."""
    expr = next(
        rule["expr"] for rule in rules(RECORDING) if rule["record"] == "proxy_status:gateway_written_5xx:rate5m"
    )
    written = {
        (reason, int(status))
        for reasons, status in re.findall(r'reason=~"([\w|]+)"\}, "status", "(\d+)"', expr)
        for reason in reasons.split("|")
    }
    assert written == {(reason.code, reason.status) for reason in written_reasons()}


def test_rules_mention_only_reasons_that_exist() -> None:
    text = (SOURCE / "rules/recording.yml").read_text() + (SOURCE / "rules/alerts.yml").read_text()
    mentioned = {word for group in re.findall(r'reason(?:=~|=|!=)"([\w|]+)"', text) for word in group.split("|")}
    assert mentioned <= REASONS.keys()


def test_rules_ask_for_metrics_that_exist() -> None:
    known = metrics.series_names() | {rule["record"] for rule in rules(RECORDING)}
    for rule in rules(RECORDING) + rules(ALERTS):
        assert metrics.mentioned(rule["expr"]) <= known, rule


def test_refusals_by_protections_are_never_the_gateways_fault() -> None:
    for rule in rules(RECORDING) + rules(ALERTS):
        if "own_bad:rate5m" in rule.get("record", "") or rule.get("labels", {}).get("fault") == "gateway":
            assert not re.search(r"breaker_open|rate_limit|concurrency_limit|queue_(full|timeout|pred)", rule["expr"])


def test_each_objective_stands_in_one_place() -> None:
    budgets = {rule["record"]: rule["expr"] for rule in rules(RECORDING) if rule["record"].endswith(":budget")}
    assert set(budgets) == {
        "gateway:slo_upstream_availability:budget",
        "gateway:slo_gateway_availability:budget",
        "gateway:slo_gateway_overhead:budget",
    }
    assert all(re.fullmatch(r"vector\(0\.\d+\)", expr) for expr in budgets.values())
    burning = [rule["expr"] for rule in rules(ALERTS) if rule["alert"].endswith("BudgetBurn")]
    assert len(burning) == 6
    for expr in burning:
        assert set(re.findall(r"gateway:slo_\w+:budget", expr)) <= budgets.keys()


def test_burn_rates_are_those_of_the_workbook() -> None:
    rates = {
        "page": [("1h", "14.4"), ("5m", "14.4"), ("6h", "6"), ("30m", "6")],
        "ticket": [("1d", "3"), ("2h", "3"), ("3d", ""), ("6h", "")],
    }
    for rule in rules(ALERTS):
        if rule["alert"].endswith("BudgetBurn"):
            found = re.findall(r":ratio(\w+) > (?:([\d.]+) \* )?scalar\(", rule["expr"])
            assert found == rates[rule["labels"]["severity"]], rule["alert"]
