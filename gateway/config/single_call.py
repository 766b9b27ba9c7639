"""One connection or action by itself, as the admin API and the database give it: checked by the rules of the file.

Both are a name with the keys that the file has below it. An action also has its tenant and its kind, which in a file
are those of its connection.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final, Literal, TypeVar

from pydantic import Field, ValidationError, create_model

from gateway.config import kinds, validation_messages
from gateway.config.actions import DEFAULT_TENANT, HTTP, REQUESTS
from gateway.config.calls import LONGEST, known_as
from gateway.config.errors import ConfigError, Problem
from gateway.config.formats.tree import Branch, grow
from gateway.config.named_calls import NamedAction, NamedConnection
from gateway.config.networks import Destinations
from gateway.config.schema.actions import Action
from gateway.config.schema.connections import Connection, Name, Tenant, VersionedName
from gateway.config.schema.connector import ConnectorAction, ConnectorConnection
from gateway.config.schema.section import Section
from gateway.config.secret_values import Path, in_action, unknown, value_at, with_values
from gateway.core.trn import Trn, versioned

S = TypeVar("S", bound=Section)

_REFERENCE: Final = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*(?::-[^}]*)?\}")
_VARIABLE: Final = "is a variable of a file, and none is put in here; send the value"
_NOT_HERE: Final = (
    "names files of the gateway's machine, which only those who can write its configuration file may choose; move this "
    "connection to the file, or remove this key"
)


class StoredConnection(Connection):
    """A connection with its name."""

    name: Name
    """1 to 64 letters, digits, `_`, `.` and `-`; unique within its tenant."""


class StoredAction(Action):
    """An action with its name, its version behind it unless that is 1, and its tenant."""

    name: VersionedName
    """As that of a connection; `NAME@v2` for a version beside the first."""
    tenant: Tenant = DEFAULT_TENANT
    """That of its connection."""


class _Named(Section):
    """What the name of a record is made of; its other keys are the matter of the gateway that has the kind."""

    name: VersionedName
    tenant: Tenant = DEFAULT_TENANT
    kind: str = Field(default=HTTP, min_length=1, pattern=r"^[a-z0-9_.-]+$")


def connection(
    settings: Mapping[str, object], *, name: str = "connection", destinations: Destinations | None = None
) -> NamedConnection:
    """The checked connection. ``name`` stands where the error names the source. ``destinations``: the addresses that it
    may have; None: it was checked before. Raises `ConfigError`, whose problems have the path of the field.
    """
    kind = _kind(settings, name)
    model: type[Connection | ConnectorConnection] = Connection if kind is None else kind.Connection
    local: dict[Path, None] = dict.fromkeys(model.of_this_machine(settings))
    problems = [*_literals(settings), *(Problem(_NOT_HERE, path) for path in local)]
    if local:
        settings = with_values(settings, local)  # the validation would read those files
    stored = StoredConnection if kind is None else _stored_connection(kind.Connection)
    checked: Any = _validated(stored, settings, name, problems)
    if destinations is not None:
        denials = ((path, destinations.denial_of_url(url)) for path, url in checked.urls())
        problems += (Problem(denied, path) for path, denied in denials if denied)
    found = NamedConnection(checked.name, _without(model, checked, "name"))
    problems += _too_long(found.shared_name)
    if problems:
        raise ConfigError(name, problems)
    return found


def action(settings: Mapping[str, object], *, name: str = "action") -> NamedAction:
    """The checked action, as `connection`; whether its connection is there is the caller's to check."""
    problems = list(_literals(settings))
    kind = _kind(settings, name)
    model: type[Action | ConnectorAction] = Action if kind is None else kind.Action
    stored = StoredAction if kind is None else _stored_action(kind.Action)
    checked: Any = _validated(stored, settings, name, problems)
    problems += _too_long(known_as(checked.tenant, checked.name))
    if problems:
        raise ConfigError(name, problems)
    definition = _without(model, checked, "name", "tenant")
    data = _dumped(definition, complete=False)
    secrets = (value_at(data, path) for path in in_action(definition, data))
    return NamedAction(
        checked.tenant, checked.name, definition, tuple(text for text in secrets if isinstance(text, str))
    )


def trn_of(kind: Literal["connection", "action"], settings: Mapping[str, object], *, name: str) -> str:
    """The TRN of a connection or action whose secrets may be redacted. Raises `ConfigError` as `connection`.

    Of other kinds than those of HTTP the gateway alone checks the rest: a URL may be redacted as a whole, and the
    package of a connector may be installed only there.
    """
    if settings.get("kind") not in (None, *REQUESTS):
        own = {key: settings[key] for key in _Named.model_fields if key in settings}
        named = _validated(_Named, own, name, [])
        return str(Trn(named.tenant, kind, named.kind, *versioned(named.name)))
    if kind == "connection":
        found = _validated(StoredConnection, settings, name, [])
        return str(found.trn(found.name))
    action = _validated(StoredAction, settings, name, [])
    return str(action.trn(action.name, action.tenant))


def connection_settings(found: NamedConnection, *, complete: bool) -> dict[str, object]:
    """The inverse of `connection`. ``complete``: with what has its default."""
    return {"name": found.name, **_dumped(found.definition, complete=complete)}


def action_settings(found: NamedAction, *, complete: bool) -> dict[str, object]:
    """The inverse of `action`."""
    return {"name": found.name, "tenant": found.tenant, **_dumped(found.definition, complete=complete)}


def _kind(settings: Mapping[str, object], name: str) -> type[kinds.Kind] | None:
    """The connector; None: HTTP, or what is no name of a kind. Raises `ConfigError`."""
    kind = settings.get("kind")
    if not isinstance(kind, str) or kind in ("", *REQUESTS):
        return None
    try:
        return kinds.kind_of(kind)
    except kinds.UnknownKindError as error:
        raise ConfigError(name, [Problem(str(error), ("kind",))]) from None


@cache
def _stored_connection(model: type[ConnectorConnection]) -> type[ConnectorConnection]:
    """``model`` with a name. Raises `ConfigError` for one that has such a key itself."""
    return create_model("StoredConnection", __base__=_free(model, "name"), name=(Name, ...))


@cache
def _stored_action(model: type[ConnectorAction]) -> type[ConnectorAction]:
    base = _free(model, "name", "tenant")
    return create_model("StoredAction", __base__=base, name=(VersionedName, ...), tenant=(Tenant, DEFAULT_TENANT))


def _free(model: type[S], *keys: str) -> type[S]:
    for key in keys:
        if key in model.model_fields:
            said = f"has a key {key} of its own, which the database has for the record; write it into the file instead"
            raise ConfigError(model.__name__, [Problem(said, ("kind",))])
    return model


def _dumped(section: Section, *, complete: bool) -> dict[str, object]:
    """What was written, and no default: a version of the gateway without that setting could not read it."""
    return section.model_dump(mode="json", by_alias=True, exclude_unset=not complete)


def _validated(model: type[S], settings: Mapping[str, object], name: str, others: list[Problem]) -> S:
    try:
        return model.model_validate(dict(settings))
    except ValidationError as error:
        root = grow(name, dict(settings), {})
        assert isinstance(root, Branch)
        known = {each.path for each in others}
        found = [Problem(each.message, each.path) for each in validation_messages.problems(error, model, root)]
        raise ConfigError(name, [each for each in found if each.path not in known] + others) from None


def _without(model: type[S], found: Section, *keys: str) -> S:
    values = {name: getattr(found, name) for name in model.model_fields}
    return model.model_construct(found.model_fields_set - set(keys), **values)


def _literals(settings: Mapping[str, object]) -> Iterator[Problem]:
    """Texts that stand for another value: what is stored is sent as it is."""
    for path in unknown(settings):
        yield Problem("is the word that is shown in place of a secret, and none is stored here; send the value", path)
    auth = settings.get("auth")
    for key, text in auth.items() if isinstance(auth, Mapping) else ():
        if isinstance(text, str) and _REFERENCE.fullmatch(text):
            yield Problem(_VARIABLE, ("auth", str(key)))
    if isinstance(url := settings.get("url"), str) and _REFERENCE.search(url):
        yield Problem(_VARIABLE, ("url",))


def _too_long(known: str) -> Iterator[Problem]:
    """The counters of all workers have so much room for a name, and count nothing of a longer one."""
    if (over := len(known) - LONGEST) > 0:
        message = f"is known as {known}, which may have {LONGEST} characters; shorten the name or the tenant by {over}"
        yield Problem(message, ("name",))
