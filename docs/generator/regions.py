"""Marked regions of a page: what stands between two comments is written by a program, all else by people.

<!-- begin NAME: make docs -->
...
<!-- end NAME -->
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_REGION = re.compile(
    r"(?P<begin><!-- begin (?P<name>[\w-]+): [^\n]* -->\n).*?(?P<end><!-- end (?P=name) -->)", re.DOTALL
)


def names(page: str) -> list[str]:
    """The regions of ``page``, in their order."""
    return [match["name"] for match in _REGION.finditer(page)]


def fill(page: str, contents: Mapping[str, str]) -> str:
    """``page`` with ``contents`` in its regions. Raises ValueError when one has no region, or a region no content."""
    if sorted(names(page)) != sorted(contents):
        raise ValueError(f"the page has the regions {names(page)}, and there is content for {list(contents)}")
    return _REGION.sub(lambda match: f"{match['begin']}{contents[match['name']].rstrip()}\n{match['end']}", page)
