"""Which values of connections and actions may be secrets, and how they are taken out of what is stored or shown.

The schema marks secret keys by ``repr=False``; of the header fields, parameters and members below such a key, a name
may say that the value is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from gateway.config.placeholders import without_places
from gateway.config.schema.section import Section
from gateway.config.secret_names import PUBLIC, REDACTED, is_secret

Path = tuple[str | int, ...]
"""Keys and indexes that lead to a value."""
Json = Any


def in_connection(connection: Section, data: Mapping[str, Json]) -> Iterator[Path]:
    """The places of secrets in ``data``, the JSON of ``connection``: all that the schema does not show, but `PUBLIC`
    fields. What a connection holds for all of its calls is most often a credential, whatever its name."""
    for name, field in type(connection).model_fields.items():
        key = field.alias or name
        value = getattr(connection, name)
        if key not in data:
            continue
        if not field.repr and key not in connection.open_keys():
            shown = PUBLIC if key == "headers" else frozenset[str]()
            yield from (path for path in _leaves(data[key], (key,)) if str(path[-1]).lower() not in shown)
        elif isinstance(value, Section):
            yield from ((key, *path) for path in in_connection(value, data[key]))


def in_action(action: BaseModel, data: Mapping[str, Json]) -> Iterator[Path]:
    """The places of secrets in ``data``, the JSON of ``action``: values of secret names that hold more than
    parameters. Other values say what is called, and are shown."""
    for name, field in type(action).model_fields.items():
        key = field.alias or name
        if field.repr or key not in data:
            continue
        for path in _leaves(data[key], (key,)):
            if any(is_secret(str(part)) for part in path[1:]) and _is_literal(value_at(data, path)):
                yield path


def _is_literal(value: Json) -> bool:
    return not isinstance(value, str) or bool(without_places(value).strip())


def _leaves(value: Json, path: Path) -> Iterator[Path]:
    """The places of all values in ``value`` that are neither empty nor a container."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _leaves(inner, (*path, index))
    elif value not in (None, ""):
        yield path


def value_at(data: Json, path: Path) -> Json:
    """The value at ``path``; None when there is none."""
    for key in path:
        if isinstance(data, Mapping):
            data = data.get(key)
        elif isinstance(data, Sequence) and not isinstance(data, str) and isinstance(key, int) and key < len(data):
            data = data[key]
        else:
            return None
    return data


def with_values(data: Json, values: Mapping[Path, Json]) -> Json:
    """``data`` with other values at these places; those that do not exist are ignored."""
    if () in values:
        return values[()]
    below: dict[str | int, dict[Path, Json]] = {}
    for path, value in values.items():
        below.setdefault(path[0], {})[path[1:]] = value
    if isinstance(data, Mapping):
        return {key: with_values(inner, below[key]) if key in below else inner for key, inner in data.items()}
    if isinstance(data, list):
        return [with_values(inner, below[index]) if index in below else inner for index, inner in enumerate(data)]
    return data


def redacted(data: Json, places: Iterable[Path]) -> Json:
    """``data`` with `REDACTED` at these places."""
    return with_values(data, dict.fromkeys(places, REDACTED))


def kept(data: Json, secrets: Mapping[Path, Json]) -> dict[Path, Json]:
    """Those of ``secrets`` whose place in ``data`` holds `REDACTED`: a client sends back what it was shown."""
    return {path: value for path, value in secrets.items() if value_at(data, path) == REDACTED}


def unknown(data: Json) -> Iterator[Path]:
    """The places of `REDACTED` in ``data``."""
    return (path for path in _leaves(data, ()) if value_at(data, path) == REDACTED)
