"""What the command line says over the file."""

from __future__ import annotations

from gateway.config.overrides import Overrides
from gateway.config.records import Document
from gateway.core.address import Address


def test_nothing_said_changes_nothing() -> None:
    assert Overrides().apply(Document()) == Document()


def test_what_is_said_wins() -> None:
    said = Overrides((Address("h", 1),), "off", 2.0)
    assert said.apply(Document()) == Document((Address("h", 1),), None, drain_timeout=2.0)
    assert Overrides(access_log="/x").apply(Document()).access_log == "/x"
