"""What the command line says over the file."""

from __future__ import annotations

from gateway.config.overrides import Overrides
from gateway.config.records import Document, Listener
from gateway.core.address import Address


def test_nothing_said_changes_nothing() -> None:
    assert Overrides().apply(Document()) == Document()


def test_what_is_said_wins() -> None:
    said = Overrides((Address("h", 1),), "off", 2.0)
    assert said.apply(Document()) == Document((Listener(Address("h", 1)),), None, drain_timeout=2.0)
    assert Overrides(access_log="/x").apply(Document()).access_log == "/x"


def test_an_address_of_the_file_keeps_what_the_file_says_about_it() -> None:
    here, there = Address("h", 1), Address("h", 2)
    file = Document(listen=(Listener(here, http2=True), Listener(Address("h", 3), http2=True)))
    assert Overrides((there, here)).apply(file).listen == (Listener(there), Listener(here, http2=True))
