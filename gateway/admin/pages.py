"""Lists are shown page by page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.admin.errors import validation
from gateway.admin.representations import Resource

MOST: Final = 1000
"""Items on a page."""


def check(page: int, per_page: int) -> None:
    """Raises `AdminError` for a page that cannot be."""
    wrong = [("page", "must be 1 or more; write such a number")] if page < 1 else []
    if not 1 <= per_page <= MOST:
        wrong.append(("per_page", f"must be from 1 to {MOST}; write such a number"))
    if wrong:
        raise validation(wrong)


def page_of(items: Sequence[Resource], page: int, per_page: int) -> Resource:
    """That page of ``items``, with how many there are in all. Raises `AdminError`."""
    check(page, per_page)
    start = (page - 1) * per_page
    return {"items": items[start : start + per_page], "page": page, "per_page": per_page, "total": len(items)}
