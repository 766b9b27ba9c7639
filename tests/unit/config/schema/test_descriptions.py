"""What the docstrings below the keys of a section become."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from pydantic import Field

from gateway.config.schema.descriptions import descriptions
from gateway.config.schema.section import Section


class Outer(Section):
    """Not a description of a key."""

    first: int = 1
    """What it means,
    on two lines."""
    bare: int = 2
    last: int = 3
    """The last."""

    class Inner(Section):
        within: int = 4
        """Of the inner one."""


class Heir(Outer):
    last: int = 5
    """Another last."""
    own: int = 6
    """Its own."""


def test_each_key_has_what_stands_below_it() -> None:
    assert descriptions(Outer, Section) == {"first": "What it means, on two lines.", "last": "The last."}
    assert descriptions(Outer.Inner, Section) == {"within": "Of the inner one."}


def test_an_heir_has_those_of_its_bases_and_its_own_before_them() -> None:
    expected = {"first": "What it means, on two lines.", "last": "Another last.", "own": "Its own."}
    assert descriptions(Heir, Section) == expected


def test_a_class_in_a_function_is_known_by_its_place() -> None:
    class Local(Section):
        key: int = 1
        """Of a class in a function."""

    assert descriptions(Local, Section) == {"key": "Of a class in a function."}


def test_those_of_the_base_are_left_out() -> None:
    assert descriptions(Heir, Outer) == {"last": "Another last.", "own": "Its own."}


def test_without_sources_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "typed_in", ModuleType("typed_in"))
    for place in ("typed_in", "never_imported"):
        section = type("Typed", (Section,), {"__module__": place})
        assert descriptions(section, Section) == {}


def test_the_schema_has_them_by_alias_and_a_description_that_is_written_out_stays() -> None:
    class Aliased(Section):
        place: int = Field(default=1, alias="in")
        """Where it stands."""
        written: int = Field(default=2, description="Written out.")
        """Only for readers of the code."""

    properties = Aliased.model_json_schema()["properties"]
    assert properties["in"]["description"] == "Where it stands."
    assert properties["written"]["description"] == "Written out."
