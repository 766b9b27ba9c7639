"""The one interface of the data plane: a `Handler` serves an exchange, a `Layer` wraps a handler.

A layer whose feature is off returns the handler it was given, so that a protection that is off costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine

from gateway.core.exchange import Exchange

Handler = Callable[[Exchange], Coroutine[None, None, None]]
Layer = Callable[[Handler], Handler]


def chain(terminal: Handler, *layers: Layer) -> Handler:
    """Fold ``layers`` (outermost first) round ``terminal``."""
    handler = terminal
    for layer in reversed(layers):
        handler = layer(handler)
    return handler
