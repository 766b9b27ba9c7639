"""Header fields of a call: several layers become one list, and a policy says which of them may be sent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from gateway.actions.errors import FORBIDDEN_FIELD, InvalidCallError
from gateway.config.actions import FieldPolicy

_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 5.6.2
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # RFC 9110 5.5
_MEMBER: Final = re.compile(r'(?:[^,"]|"(?:\\.|[^"\\])*"?)+')  # RFC 9110 5.6.1: a comma in quotes separates nothing
_SCRIPT: Final = re.compile(r"<script|\b(?:javascript|data):", re.IGNORECASE)


class Layered(NamedTuple):
    """A field or a query parameter, and the layer that it comes from: connection, action, input or auth."""

    name: str
    value: str
    layer: str


class FieldLayers:
    """Fields by their names in lower case. A later layer replaces what an earlier one has set, or adds to it."""

    def __init__(self, policy: FieldPolicy) -> None:
        self._policy = policy
        self._found: dict[str, Layered] = {}

    def put(self, fields: Mapping[str, str | None], layer: str) -> None:
        """None removes a field."""
        for name, value in fields.items():
            key = name.strip().lower()
            known = self._found.get(key)
            if value is None:
                self._found.pop(key, None)
            elif known is not None and key in self._policy.append:
                self._found[key] = Layered(known.name, _added(key, known.value, value), layer)
            else:
                self._found[key] = Layered(name.strip(), value, layer)

    def get(self, name: str) -> Layered | None:
        return self._found.get(name.lower())

    def names(self) -> list[str]:
        """In lower case."""
        return list(self._found)

    def permitted(self, warnings: list[str]) -> tuple[Layered, ...]:
        """What may be sent. Denied fields are left out, with a warning, or are an error. Raises `InvalidCallError`."""
        policy = self._policy
        found = []
        for key, field in self._found.items():
            if key in policy.denied:
                if not policy.drop_denied:
                    raise InvalidCallError(
                        f"the header field {field.name} may not be set; remove it", [_at(field)], FORBIDDEN_FIELD
                    )
                warnings.append(f"the header field {field.name} of the {field.layer} may not be set, and is left out")
                continue
            _check(field, policy)
            found.append(field)
        if len(found) > policy.max_fields:
            raise InvalidCallError(
                f"the request has {len(found)} header fields, and may have {policy.max_fields}; remove some",
                code=FORBIDDEN_FIELD,
            )
        _check_content_type(self._found.get("content-type"), policy.content_types)
        return tuple(found)


def check_value(name: str, value: str, layer: str) -> None:
    """Raises `InvalidCallError` for what no header field can carry: it could begin another field or request."""
    field = Layered(name, value, layer)
    if not _NAME.fullmatch(name):
        raise InvalidCallError(
            "a header field has a name that is none (RFC 9110 5.6.2); use letters, digits and -",
            [_at(field)],
            FORBIDDEN_FIELD,
        )
    if _CONTROL.search(value):
        raise InvalidCallError(
            f"the header field {name} has a line break or another control character in its value; remove it",
            [_at(field)],
            FORBIDDEN_FIELD,
        )
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        raise InvalidCallError(
            f"the header field {name} has a character outside Latin-1 in its value; write it in ASCII",
            [_at(field)],
            FORBIDDEN_FIELD,
        ) from None


def _check(field: Layered, policy: FieldPolicy) -> None:
    check_value(*field)
    if len(field.value) > policy.max_value_length:
        raise InvalidCallError(
            f"the value of the header field {field.name} is too long (most: {policy.max_value_length}); shorten it",
            [_at(field)],
            FORBIDDEN_FIELD,
        )
    if policy.refuse_scripts and _SCRIPT.search(field.value):
        raise InvalidCallError(
            f"the value of the header field {field.name} looks like a script (<script, javascript: or data:); remove "
            "it, or set refuse_scripts: false",
            [_at(field)],
            FORBIDDEN_FIELD,
        )


def _check_content_type(field: Layered | None, permitted: Iterable[str]) -> None:
    known = [each.lower() for each in permitted]
    if field is None or not known:
        return
    if field.value.partition(";")[0].strip().lower() not in known:
        raise InvalidCallError(
            f"the content type of the request is none of {', '.join(known)}; send one of these",
            [_at(field)],
            FORBIDDEN_FIELD,
        )


def _at(field: Layered) -> tuple[str, str]:
    return (f"headers.{field.name}" if _NAME.fullmatch(field.name) else "headers", f"set by the {field.layer}")


def _added(key: str, known: str, value: str) -> str:
    """Both lists as one, sorted, each member once. Cookies: the later of one name, in their order."""
    if key == "cookie":
        pairs = [pair.strip() for text in (known, value) for pair in text.split(";")]
        return "; ".join({pair.partition("=")[0]: pair for pair in pairs if pair}.values())
    members = {member.strip() for text in (known, value) for member in _MEMBER.findall(text)} - {""}
    return ", ".join(sorted(members))
