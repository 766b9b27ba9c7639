"""The result of a connector as JSON."""

from __future__ import annotations

import base64
import datetime
import decimal
from collections.abc import Mapping

import orjson


def encoded(result: object) -> bytes:
    """As JSON. Raises TypeError for what has no form there."""
    return orjson.dumps(result, default=_plain, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_SUBCLASS)


def _plain(value: object) -> object:
    """The form of what JSON does not have: exact numbers and addresses as text, bytes in base64, spans in seconds."""
    match value:
        case bytes() | bytearray() | memoryview():
            return base64.b64encode(value).decode()
        case decimal.Decimal():
            return str(value)
        case datetime.timedelta():
            return value.total_seconds()
        case Mapping():
            return dict(value)
        case int():
            return int(value)  # of a type of its own
        case str():
            return str.__str__(value)
        case set() | frozenset() | tuple():
            return list(value)
    return str(value)
