"""pydantic's findings in plain sentences: what is wrong, and how to fix it, without the value that was found."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway.config.errors import Path, Problem
from gateway.config.formats.tree import Branch, locate
from gateway.config.schema.section import Section

_SENTENCES: Mapping[str, str] = {
    "bool_type": "must be true or false; write it without quotes",
    "dict_type": "must be a mapping; write `key: value` lines below it, or {} for none",
    "finite_number": "must be a finite number; write a number of digits",
    "float_type": "must be a number; write it in digits, without quotes and without a unit",
    "int_from_float": "must be a whole number; write it without a decimal point",
    "int_type": "must be a whole number; write it in digits, without quotes and without a unit",
    "missing": "is required; add this key",
    "model_attributes_type": "must be a mapping; write `key: value` lines below it",
    "model_type": "must be a mapping; write `key: value` lines below it",
    "string_type": "must be text; put the value in quotes",
    "union_tag_not_found": "needs a key type; add it",
    "tuple_type": "must be a list; write [first, second], or [] for none",
}
_BOUNDS: Mapping[str, tuple[str, str]] = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than_equal": ("le", "at most"),
}
_LENGTHS: Mapping[str, tuple[str, str, str]] = {
    "string_too_short": ("min_length", "at least", "character; write such a text"),
    "string_too_long": ("max_length", "at most", "character; write such a text"),
    "too_short": ("min_length", "at least", "entry; write such a list"),
    "too_long": ("max_length", "at most", "entry; write such a list"),
}


def problems(error: ValidationError, model: type[Section], root: Branch) -> Iterator[Problem]:
    """Every finding of ``error`` with the line that it concerns."""
    for path, said in findings(error, model):
        line, shown = locate(root, path)
        yield Problem(said, shown, line)


def findings(error: ValidationError, model: type[Section]) -> Iterator[tuple[Path, str]]:
    """The place below ``model`` of each finding of ``error``, and a sentence.

    A required key is not called missing where it is there with a typing error: one mistake is one finding.
    """
    found = [
        (tuple(key for key in detail["loc"] if key != "[key]"), detail)
        for detail in error.errors(include_url=False, include_input=False)
    ]
    meant = {
        (*path[:-1], close)
        for path, detail in found
        if detail["type"] == "extra_forbidden" and (close := _close(_section_at(model, path[:-1]), str(path[-1])))
    }
    for path, detail in found:
        if detail["type"] == "missing" and path in meant:
            continue
        place = _in_the_file(model, path)
        if detail["type"] == "extra_forbidden":
            yield place, _unknown_key(_section_at(model, path[:-1]), str(path[-1]))
        else:
            yield place, sentence(detail)


def sentence(detail: ErrorDetails) -> str:
    """One finding in a sentence; never with the value that was found."""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return "unknown key; remove it"
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        return f"must be {context['expected']}; write one of them"
    if kind == "union_tag_invalid":
        return f"has a type that is none of {context['expected_tags']}; write one of them"
    if kind == "string_pattern_mismatch":
        return f"must have the form {context['pattern']}; write such a text"
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return f"must be {words} {context[bound]:g}; write such a number"
    if kind in _LENGTHS:
        bound, words, unit = _LENGTHS[kind]
        return f"must have {words} {_counted(context[bound], unit)}"
    return _SENTENCES.get(kind, detail["msg"])


def _counted(number: int, unit: str) -> str:
    """``unit`` begins with a word in the singular: "1 entry; write", "2 entries; write"."""
    word, semicolon, rest = unit.partition(";")
    plural = f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"
    return f"{number} {word if number == 1 else plural}{semicolon}{rest}"


def _unknown_key(section: type[Section], key: str) -> str:
    if key in section.refused:
        return section.refused[key]
    if close := _close(section, key):
        return f"unknown key; did you mean {close}?"
    return f"unknown key; remove it, the keys here are {', '.join(section.model_fields)}"


def _close(section: type[Section], key: str) -> str:
    """The key of ``section`` that was probably meant by the unknown ``key``; empty: none, or it is rejected by name."""
    if key in section.refused:
        return ""
    return next(iter(difflib.get_close_matches(key.lower(), list(section.model_fields), n=1)), "")


def _section_at(model: type[Section], path: Path) -> type[Section]:
    found: list[Any] = [model]
    for key in path:
        found = _below(found, key)
    section: type[Section] = found[0]
    return section


def _in_the_file(model: type[Section], path: Path) -> Path:
    """``path`` without the words by which pydantic names one of several sections: the file has no such key."""
    found: list[Any] = [model]
    kept: list[str | int] = []
    for key in path:
        if len(found) < 2 or isinstance(key, int):
            kept.append(key)
        found = _below(found, key)
    return tuple(kept)


def _below(found: list[Any], key: str | int) -> list[Any]:
    """What may stand below ``key`` of ``found``: sections, or a mapping of names to sections."""
    if isinstance(key, int) or not found:
        return found
    if len(found) > 1:
        return [section for section in found if key in get_args(section.model_fields["type"].annotation)]
    (one,) = found
    if get_origin(one) is dict:
        return _alternatives(get_args(one)[1])
    field = one.model_fields.get(key)
    return _alternatives(one.further if field is None else field.annotation)


def _alternatives(annotation: Any) -> list[Any]:
    """The sections inside of ``tuple[Annotated[Section, ...], ...]`` or ``Section | None``, and mappings of such."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [] if annotation.worded_apart else [annotation]
    if get_origin(annotation) is dict:
        return [annotation] if _alternatives(get_args(annotation)[1]) else []
    inner = get_args(annotation)
    return [
        section
        for each in inner[: 1 if get_origin(annotation) is Annotated else None]
        for section in _alternatives(each)
    ]
