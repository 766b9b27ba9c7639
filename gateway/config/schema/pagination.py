"""How the further pages of an action are found, in the file."""

from __future__ import annotations

from typing import Final, Self

from pydantic import Field, model_validator

from gateway.config import actions as records
from gateway.config.schema.section import Section
from gateway.config.schema.types import Bytes

_PAGES = records.Pagination("page")
_PATH = r"^[^.\x00-\x1f]+(\.[^.\x00-\x1f]+)*$"
_NAME = r"^[A-Za-z_][A-Za-z0-9_-]*$"
_MOST_PAGE_BYTES: Final = 1024 * 1024


class Pagination(Section):
    """How the further pages of an action are found. All of them are read only where a caller wants that."""

    type: records.PageKind = Field(examples=["cursor"])
    """`page`: a number that counts up. `offset`: how many items came before. `cursor`: a value in the body of the page
    before. `link`: the field `Link` with `rel="next"` (RFC 8288)."""
    items: str | None = Field(default=None, pattern=_PATH, examples=["data.items"])
    """Where the list of items is in a body: names with dots between them; `null`: the body is the list."""
    parameter: str | None = Field(default=None, pattern=_NAME, examples=["after"])
    """The value of the input that says which page. `null`: `page`, `offset` or `cursor`, as the type."""
    start: int | None = Field(default=None, ge=0, le=1_000_000_000, examples=[0])
    """Its value for the first page. `null`: `1` for a page, `0` for an offset."""
    size_parameter: str | None = Field(default=None, pattern=_NAME, examples=["per_page"])
    """The value of the input that says how many items a page has; `null`: none does."""
    page_size: int = Field(default=0, ge=0, le=100_000, examples=[50])
    """How many items a full page has: one with fewer is the last. `0`: it is not known; an empty page is the last."""
    next_cursor: str | None = Field(default=None, pattern=_PATH, examples=["meta.next"])
    """Where the cursor of the next page is in a body. When it is missing, empty or `null`, the page is the last."""
    has_more: str | None = Field(default=None, pattern=_PATH, examples=["has_more"])
    """Where a body says whether there are more pages; `null`: nowhere."""
    max_pages: int = Field(default=_PAGES.max_pages, ge=1, le=10_000, examples=[20])
    """Most pages of one call."""
    max_items: int = Field(default=_PAGES.max_items, ge=1, le=1_000_000, examples=[1000])
    """Most items of one call."""
    max_bytes: Bytes = Field(default=_PAGES.max_bytes, ge=1, le=64 * 1024 * 1024, examples=[1048576])
    """Most bytes of all bodies of one call together."""
    max_mapped_bytes: Bytes = Field(default=_PAGES.max_page_bytes, ge=1, le=_MOST_PAGE_BYTES, examples=[65536])
    """The longest body of one page: it is parsed in one piece, during which nothing else is done."""

    @model_validator(mode="after")
    def _of_its_type(self) -> Self:
        if (self.type == "cursor") != (self.next_cursor is not None):
            raise ValueError("next_cursor is for the type cursor, which needs it; write both, or none")
        if self.type == "link" and (self.parameter or self.start is not None):
            raise ValueError("a link says all of the next page; remove parameter and start")
        if self.type == "cursor" and self.start is not None:
            raise ValueError("the first page has no cursor; remove start")
        if self.size_parameter is not None and not self.page_size:
            raise ValueError("size_parameter sends page_size; write that too")
        return self

    def names(self) -> list[str]:
        """The values of the input that it sets."""
        return [name for name in (self._parameter(), self.size_parameter or "") if name]

    def _parameter(self) -> str:
        return "" if self.type == "link" else self.parameter or self.type

    def record(self) -> records.Pagination:
        first = 0 if self.type == "offset" else 1
        return records.Pagination(
            kind=self.type,
            items=self.items or "",
            parameter=self._parameter(),
            start=first if self.start is None else self.start,
            size_parameter=self.size_parameter or "",
            size=self.page_size,
            cursor=self.next_cursor or "",
            more=self.has_more or "",
            max_pages=self.max_pages,
            max_items=self.max_items,
            max_bytes=self.max_bytes,
            max_page_bytes=self.max_mapped_bytes,
        )
