"""What the demo prints: every line is there to be copied, and nothing in it is left unfilled."""

from __future__ import annotations

import re

import pytest

from gateway.demo.script import Step, steps, text

BASE = "http://127.0.0.1:8088"


@pytest.mark.parametrize("step", steps(BASE), ids=lambda step: step.name)
def test_each_line_speaks_to_the_gateway(step: Step) -> None:
    assert "curl" in step.command
    assert set(re.findall(r"http://[^/' ]+", step.command)) == {BASE}
    assert "\n" not in step.command


def test_names_are_unique() -> None:
    assert len({step.name for step in steps(BASE)}) == len(steps(BASE))


def test_each_command_is_printed_whole_on_one_line() -> None:
    printed = [line.strip() for line in text(BASE, "http://127.0.0.1:9", "listen: x\n").splitlines()]
    assert [line for line in printed if "curl " in line] == [step.command for step in steps(BASE)]


def test_the_configuration_and_both_addresses_are_printed() -> None:
    printed = text(BASE, "http://127.0.0.1:9", "listen: here\n")
    assert "listens on http://127.0.0.1:9:" in printed
    assert f"listens on {BASE}," in printed
    assert "    listen: here\n" in printed
