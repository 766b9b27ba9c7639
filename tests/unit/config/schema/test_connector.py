"""What connections and actions of all connectors have. `test_connectors.py` has them in a file."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.config.schema.connector import ConnectorAction, ConnectorConnection, written
from gateway.core.trn import Trn


def test_defaults_are_safe() -> None:
    connection = ConnectorConnection(kind="x")
    record = connection.record("c")
    assert (record.base_url, record.kind, record.auth.kind) == ("x://", "x", "none")
    assert connection.upstream("c").record().max_concurrent == 10
    assert (connection.secrets(), connection.authenticates()) == ((), "none")


def test_what_is_written_is_read_again() -> None:
    made = ConnectorAction.model_validate(
        {"connection": "c", "parameters": [{"name": "id", "type": "integer", "in": "body"}], "retry": "api"}
    )
    kept = written(made)
    assert kept == {
        "connection": "c",
        "parameters": [{"name": "id", "type": "integer", "in": "body"}],
        "retry": {"preset": "api"},
    }
    assert ConnectorAction.model_validate(kept) == made


def test_an_action_that_says_nothing_takes_anything() -> None:
    action = ConnectorAction(connection="c")
    record = action.record("a", Trn("default", "connection", "x", "c", 1))
    assert (record.parameters, record.input_schema, action.repeatable(), action.summary()) == ((), None, False, "")
    assert action.plan({"a": 1}) == {"input": {"a": 1}}


@pytest.mark.parametrize(
    ("keys", "timeout"), [({}, 0), ({"timeout_ms": 500}, 0.5), ({"limits": {"timeout_ms": 700}}, 0.7)]
)
def test_the_time_of_an_action(keys: dict[str, object], timeout: float) -> None:
    action = ConnectorAction.model_validate({"connection": "c", **keys})
    assert action.record("a", Trn("default", "connection", "x", "c", 1)).timeout == timeout


def test_a_schema_that_is_none_is_rejected() -> None:
    with pytest.raises(ValidationError):
        ConnectorAction(connection="c", input_schema={"$ref": "http://h/schema"})
    ConnectorAction(connection="c", input_schema=None)
