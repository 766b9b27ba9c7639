"""The README's table of reasons is the one of gateway/errors.py."""

from __future__ import annotations

import re

from meta.sources import ROOT

from gateway.errors import REASONS


def test_the_table_of_reasons_is_the_one_in_the_code() -> None:
    readme = (ROOT / "README.md").read_text()
    written = re.findall(r"^\| \d{3} \| `.*\|$", readme, re.MULTILINE)
    in_code = [f"| {r.status} | `{r.code}` | {r.title} | {r.details} |" for r in REASONS.values()]
    assert written == in_code
