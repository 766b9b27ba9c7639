"""Each dependency stands in pyproject.toml with a lower bound and its reason."""

from __future__ import annotations

import re
import tomllib

from meta.sources import ROOT

TEXT = (ROOT / "pyproject.toml").read_text()
PROJECT = tomllib.loads(TEXT)["project"]
DECLARED = [*PROJECT["dependencies"], *(name for extra in PROJECT["optional-dependencies"].values() for name in extra)]


def test_each_dependency_has_its_reason() -> None:
    without = [name for name in DECLARED if not re.search(rf'^\s*"{re.escape(name)}",\s+# \S', TEXT, re.MULTILINE)]
    assert not without


def test_each_dependency_of_the_product_has_both_bounds() -> None:
    assert not [name for name in PROJECT["dependencies"] if not re.search(r">=[\d.]+,<\d", name)]
