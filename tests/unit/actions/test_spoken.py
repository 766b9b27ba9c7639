"""Sections of connectors in the worker."""

from __future__ import annotations

import pytest

from gateway.actions.errors import InvalidCallError
from gateway.actions.spoken import Spoken
from gateway.config.actions import Action, Connection
from gateway.config.kinds import UnknownKindError


def test_what_a_connector_does_not_take_says_no_secret() -> None:
    connection = Connection("trn", "x://", "u", kind="nothing", settings={"password": "s3cret"})
    with pytest.raises(InvalidCallError, match="the connector nothing does not take the configuration") as error:
        Spoken.of(connection, Action("trn", "trn"))
    assert "s3cret" not in str(error.value)
    assert issubclass(UnknownKindError, ValueError)
