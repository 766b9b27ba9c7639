"""Bodies of the routes that change connections and actions of the database."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from gateway.api.action_schemas import CallRecord
from gateway.api.schemas import Answer, Applied
from gateway.config import single_call


class NewConnection(single_call.StoredConnection):
    """A connection, as it would stand in the configuration file. In a PUT with the version that it replaces."""

    version: int | None = Field(default=None, ge=1, description="The version that is replaced; or send If-Match.")


class NewAction(single_call.StoredAction):
    """An action, as it would stand in the configuration file. In a PUT with the version that it replaces."""

    version: int | None = Field(default=None, ge=1, description="The version that is replaced; or send If-Match.")


class CallPatch(BaseModel):
    """Some keys of a connection or an action (RFC 7396); null resets a key to its default."""

    model_config = ConfigDict(extra="allow")
    version: int | None = Field(default=None, ge=1)


class CallStored(Answer):
    """What was stored."""

    trn: str
    record: CallRecord
    applied: Applied


class CallDeleted(Answer):
    """What was deleted."""

    trn: str
    removed: list[str] = Field(description="The TRNs of the actions that went with their connection.")
    applied: Applied


class CallDryRun(Answer):
    """What a change would do. Nothing was changed."""

    dry_run: bool
    trn: str
    changes: list[str] = Field(description="The keys that would have another value; empty: none.")
    removes: list[str] = Field(description="The TRNs of the actions that would go with their connection.")
