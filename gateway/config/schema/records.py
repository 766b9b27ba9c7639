"""From sections to the records that the data plane reads: values of the same names."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar, get_args, get_type_hints

from gateway.config.schema.section import Section

R = TypeVar("R")


def record_of(kind: Callable[..., R], section: Section, **different: object) -> R:
    """The dataclass ``kind`` with the values of ``section``; inner sections become the records of its fields.

    ``different`` are the values that the section has under another name or in another form, by their names in the
    record. Raises AttributeError for a field that is in neither.
    """
    fields = _fields(kind).items()
    same = {name: _value(record, getattr(section, name)) for name, record in fields if name not in different}
    return kind(**same, **different)


def _value(record: Callable[..., object] | None, value: object) -> object:
    return record_of(record, value) if record is not None and isinstance(value, Section) else value


@cache  # because reading type hints takes longer than all the rest, and each proxy needs the same ones
def _fields(kind: Callable[..., object]) -> Mapping[str, Callable[..., object] | None]:
    """The names of the record's fields; with each the record that it holds, if it holds one."""
    return {name: _record_in(hint) for name, hint in get_type_hints(kind).items()}


def _record_in(hint: Any) -> Callable[..., object] | None:
    """``hint`` itself, or what it may be instead of None."""
    return next(
        (one for one in (hint, *get_args(hint)) if isinstance(one, type) and dataclasses.is_dataclass(one)), None
    )
