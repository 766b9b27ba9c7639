"""What must not be shown of a call: values of fields, parameters and members that may be secrets, and known secrets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import orjson

from gateway.actions import multipart
from gateway.config.secret_names import PUBLIC, REDACTED, is_secret

__all__ = ["PUBLIC", "REDACTED", "Redaction", "is_secret", "of_variables", "shown_body"]

_FORM: Final = "application/x-www-form-urlencoded"
_FEWEST: Final = 4
"""Characters of a known secret that is looked for in other values: a shorter one would be found in everything."""


def of_variables(values: Iterable[str]) -> Iterator[str]:
    """What is taken out of texts for ``values`` that came from variables. Of a URL the path alone: where calls go is
    no secret, and operators look for it."""
    for value in values:
        yield urlsplit(value).path.strip("/") if "://" in value else value


class Redaction:
    """Takes out the values of secret names, and ``secrets`` wherever they stand."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = {each for each in secrets if len(each) >= _FEWEST}
        known |= {quote(each, safe="") for each in known}  # as it stands in a URL
        self._secrets = sorted(known, key=len, reverse=True)

    def text(self, text: str) -> str:
        """``text`` without the known secrets."""
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        return text

    def value(self, name: str, value: str) -> str:
        """The value of ``name``, or what is shown instead."""
        return REDACTED if value and is_secret(name) else self.text(value)

    def json(self, value: Any) -> Any:
        """The same for all members of a JSON value."""
        match value:
            case Mapping():
                return {
                    name: REDACTED if is_secret(str(name)) and each not in (None, "", {}, []) else self.json(each)
                    for name, each in value.items()
                }
            case list() | tuple():
                return [self.json(each) for each in value]
            case str():
                return self.text(value)
        return value


def shown_body(redaction: Redaction, body: bytes, content_type: str, own: Mapping[str, Any]) -> str:
    """``body`` without secrets. ``own``: the members that the connection adds, of which no value is shown: a name says
    too little about what a connection holds for all of its calls."""
    if not body:
        return ""
    if content_type.partition(";")[0].strip().lower() == _FORM:
        pairs = parse_qsl(body.decode(errors="replace"), keep_blank_values=True)
        shown = [(name, REDACTED if name in own else redaction.value(name, value)) for name, value in pairs]
        return urlencode(shown, safe="[]")
    if content_type == multipart.TYPE:
        names = {multipart.written(name) for name in own}
        return multipart.shown(body, lambda name, value: REDACTED if name in names else redaction.value(name, value))
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return redaction.text(body.decode(errors="replace"))
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError:
        return REDACTED  # too deep to look at each member
    if isinstance(value, Mapping):
        value = {name: REDACTED if name in own else each for name, each in value.items()}
    return orjson.dumps(redaction.json(value)).decode()
