"""Metrics of the access tokens of connections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gateway.control.metrics.exposition import comment
from gateway.grants.broker import OUTCOMES, Broker
from gateway.ipc.tokens import STATUSES


def token_lines(broker: Broker, now: float, *, open_metrics: bool) -> Iterator[str]:
    """The text of their families; none where no connection has tokens. ``now``: seconds of the epoch."""
    if not broker.grants:
        return
    tokens = {grant.label: broker.token(trn) for trn, grant in broker.grants.items()}
    yield from _family(
        "gateway_connection_token_status",
        "gauge",
        "1: the access token of the connection stands so.",
        {
            f'connection="{label}",status="{status}"': int(token.status(now) == status)
            for label, token in tokens.items()
            for status in STATUSES
        },
        open_metrics=open_metrics,
    )
    yield from _family(
        "gateway_connection_token_expiry_seconds",
        "gauge",
        "When the access token of the connection ends, in seconds of the epoch.",
        {f'connection="{label}"': token.expires for label, token in tokens.items() if token.expires},
        open_metrics=open_metrics,
    )
    yield from _family(
        "gateway_token_refreshes_total",
        "counter",
        "Times that another access token was needed, by what came of it.",
        {
            f'connection="{label}",outcome="{outcome}"': broker.outcomes[label, outcome]
            for label in tokens
            for outcome in OUTCOMES
        },
        open_metrics=open_metrics,
    )


def _family(name: str, kind: str, help_: str, series: Mapping[str, float], *, open_metrics: bool) -> Iterator[str]:
    if series:
        yield comment(name, kind, help_, open_metrics=open_metrics)
    for labels, value in series.items():
        yield f"{name}{{{labels}}} {value!r}\n"
