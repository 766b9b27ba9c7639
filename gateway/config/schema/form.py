"""What the form of the live page shows of a key, where its JSON Schema has no standard keyword for it.

A key needs nothing from here: the page makes its field from type, bounds, default, example, description and ``title``,
and a key without a title is labelled with its name. The keywords here begin with ``x-``, as in ``x-unit``, so other
readers of the schema ignore them (JSON Schema 2020-12, Core, section 6.5).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic.config import JsonDict

Group = Literal[
    "Basics",
    "Endpoints",
    "Health checks",
    "Ejection",
    "Limit and queue",
    "Capacity reports",
    "Rate limits",
    "Circuit breaker",
    "Timeouts and timing",
    "Browsers",
    "Login at the upstream, headers",
    "Streams of events",
    "Retries",
    "Fallback",
    "Language models",
    "WebSocket",
]
"""The groups of fields, for mistyped ones to be found. The page shows them in the order in which keys name them."""


def in_group(group: Group) -> JsonDict:
    """The field stands in ``group``; of a section: all its fields do.

    The first group is open, the others are closed until a user opens them. Without a group, a section is a group of its
    own, and a plain key stands in the last one.
    """
    return {"x-group": group}


def widget(name: Literal["headers", "none"]) -> JsonDict:
    """A key that has a field of its own kind; ``headers``: the login at the upstream, and the other header fields;
    ``none``: no field, because the key stands in the file alone."""
    return {"x-widget": name}


def choices(labels: Mapping[str, str], own: str) -> JsonDict:
    """Values of a text that users select by ``labels``; ``own`` is the label for any other text, which they type."""
    return {"x-choices": dict(labels), "x-own": own}


def typed(pattern: str, message: str) -> JsonDict:
    """``message`` is shown while the text does not match ``pattern`` (ECMA-262, as in JSON Schema).

    It is a hint for what people write on the page. The validator of the key alone decides, and may admit more, such as
    a reference in a file; so the standard keyword ``pattern`` would be wrong.
    """
    return {"x-typed": {"pattern": pattern, "message": message}}
