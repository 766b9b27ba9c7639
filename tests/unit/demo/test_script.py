"""What the demo prints: every line is there to be copied, and nothing in it is left unfilled."""

from __future__ import annotations

import re

import pytest

from gateway.demo.script import Scene, Step, steps, text

BASE, ADMIN, SIDECAR = "http://127.0.0.1:8088", "http://127.0.0.1:8089", "http://127.0.0.1:9"
SCENE = Scene(BASE, ADMIN, "sqlite:////tmp/x.db", SIDECAR)


@pytest.mark.parametrize("step", steps(SCENE), ids=lambda step: step.name)
def test_each_line_speaks_to_the_gateway(step: Step) -> None:
    assert "curl" in step.command
    hosts = set(re.findall(r"http://[^/'\" ;]+", step.command))
    assert hosts == {"administer": {BASE, ADMIN, SIDECAR}, "explain": {ADMIN}}.get(step.name, {BASE})
    assert "\n" not in step.command


def test_names_are_unique() -> None:
    assert len({step.name for step in steps(SCENE)}) == len(steps(SCENE))


def test_each_command_is_printed_whole_on_one_line() -> None:
    printed = [line.strip() for line in text(SCENE, "listen: x\n").splitlines()]
    assert [line for line in printed if "curl " in line] == [step.command for step in steps(SCENE)]


def test_the_configuration_and_both_addresses_are_printed() -> None:
    printed = text(SCENE, "listen: here\n")
    assert "listens on http://127.0.0.1:9:" in printed
    assert f"listens on {BASE}, its admin API on {ADMIN}," in printed
    assert "    listen: here\n" in printed
