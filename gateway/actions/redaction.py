"""What must not be shown of a call: values of fields, parameters and members that may be secrets, and known secrets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

REDACTED: Final = "[REDACTED]"
_WORDS: Final = (
    *("client_secret", "refresh_token", "access_token", "api_key_value", "password", "passwd", "authorization"),
    *("token", "secret", "key", "cookie", "signature", "credential"),
)
"""A name that holds one of them has a value that may be a secret."""
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
