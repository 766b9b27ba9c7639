"""The sections of a connection and an action of a connector, made again from what the configuration has sent."""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson

from gateway.actions.errors import MISCONFIGURED, InvalidCallError
from gateway.config.actions import Action, Connection
from gateway.config.kinds import kind_of
from gateway.connectors.connector import ActionSection, ConnectionSection


@dataclass(slots=True)
class Spoken:
    """As the connector wants them. ``action`` None: the connection alone."""

    connection: ConnectionSection = field(repr=False)
    action: ActionSection | None = field(repr=False)

    @classmethod
    def of(cls, connection: Connection, action: Action | None) -> Spoken:
        """Raises `InvalidCallError` for one that its connector does not take."""
        try:
            kind = kind_of(connection.kind)
            made = None
            if action is not None:
                made = kind.Action.model_validate_json(orjson.dumps(action.settings))
            return cls(kind.Connection.model_validate_json(orjson.dumps(connection.settings)), made)
        except ValueError:
            # Its text may hold a part of what the connection says.
            message = f"the connector {connection.kind} does not take the configuration of this action"
            raise InvalidCallError(message, code=MISCONFIGURED) from None
