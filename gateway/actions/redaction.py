"""What must not be shown of a call: values of fields, parameters and members that may be secrets, and known secrets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode

import orjson

REDACTED: Final = "[REDACTED]"
_WORDS: Final = (
    *("client_secret", "refresh_token", "access_token", "api_key_value", "password", "passwd", "authorization"),
    *("token", "secret", "key", "cookie", "signature", "credential"),
)
"""A name that holds one of them has a value that may be a secret."""
PUBLIC: Final = frozenset(
    (
        *("accept", "accept-charset", "accept-encoding", "accept-language", "cache-control", "content-encoding"),
        *("content-language", "content-type", "user-agent"),
    )
)
"""Header fields that say no more than the form of messages: their values are shown, whichever layer has set them."""
_FORM: Final = "application/x-www-form-urlencoded"
_FEWEST: Final = 4
"""Characters of a known secret that is looked for in other values: a shorter one would be found in everything."""


def is_secret(name: str) -> bool:
    """Whether the value of this name may be a secret. ``-`` and ``_`` are the same here."""
    lower = name.lower().replace("-", "_")
    return any(word in lower for word in _WORDS)


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
