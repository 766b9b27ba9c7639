"""The README stays short: what the project is, two commands, a tour, and links to the pages that have the rest."""

from __future__ import annotations

from meta.sources import ROOT


def test_the_readme_is_read_in_one_sitting() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 250
