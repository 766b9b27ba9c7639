"""From a call by name to the request that is sent: the action is found, the input checked and merged, credentials come
last.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode, urlsplit

import gateway
from gateway.actions.auth import authenticated, is_fixed
from gateway.actions.call import Prepared
from gateway.actions.errors import MISCONFIGURED, InvalidCallError
from gateway.actions.fields import Layered
from gateway.actions.governance import allowed, forbidden
from gateway.actions.merge import AUTH, CONNECTION, Merged, Recipe
from gateway.actions.overrides import at_link, below, check_method, literal, overridden
from gateway.actions.patience import PolicyPatience, may_repeat
from gateway.actions.redaction import PUBLIC, REDACTED, Redaction, is_secret, of_variables, shown_body
from gateway.actions.summaries import action_summary, connection_summary, longest_call
from gateway.config.actions import Action, Connection, FieldPolicy, Governance, Retry
from gateway.config.calls import name_of, name_of_action
from gateway.core import trn
from gateway.core.clock import Clock
from gateway.ipc.calls import ActionSummary, AdHoc, Asked, ConnectionSummary, Overrides, Planned
from gateway.upstream.origin import Origin

if TYPE_CHECKING:
    from gateway.actions.input import InputCheck
    from gateway.actions.spoken import Spoken

_ALL_ALLOWED: Final = Governance()
DEFAULT: Final = "default"
"""The layer of what the gateway adds when no other layer has it."""
_AGENT: Final = f"breakwater/{gateway.__version__}"
_DROPPED: Final = frozenset(("content-length", "host"))
"""Fields that follow from the body and the origin, whatever the policy of the connection permits."""


@dataclass(slots=True)
class Entry:
    """What can be called: an action, or a connection for a call without one."""

    trn: str
    label: str
    """The name of its route."""
    connection: Connection
    action: Action | None
    origin: Origin = field(init=False)
    recipe: Recipe | None = field(init=False, repr=False)
    """Of the action."""
    retry: Retry | None = field(init=False)
    patience: PolicyPatience | None = field(init=False, repr=False)
    """By ``retry``."""
    kept: dict[str, tuple[tuple[Layered, ...], list[bytes]]] = field(init=False, default_factory=dict, repr=False)
    """Header fields with the credentials, and the lines that are sent of them, by `Merged.content_type`: where they are
    the same for all calls."""
    _check: InputCheck | None = field(default=None, repr=False)
    _spoken: Spoken | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        connection, action = self.connection, self.action
        self.origin = Origin.of(connection.base_url)
        if action is not None and action.tool:
            self.recipe = _recipe_of_messages(connection, action)
        else:
            self.recipe = None if action is None else Recipe(connection, action)
        self.retry = (None if action is None else action.retry) or connection.retry
        self.patience = None if self.retry is None else PolicyPatience(self.retry)

    @property
    def policy(self) -> FieldPolicy:
        """Which header fields a call of it may have."""
        return (self.action.fields if self.action is not None else None) or self.connection.fields

    @property
    def seconds(self) -> float:
        """The longest that a call of it may take, with its repetitions."""
        return longest_call(self.connection, self.action)

    def bounded(self, *bounds: float) -> float:
        """Seconds that one call of it may take. ``bounds``: further ones; 0: none."""
        return min((self.seconds, *filter(None, bounds)))

    @property
    def is_tool(self) -> bool:
        """It is called as a tool of MCP."""
        return self.action is not None and self.action.tool != ""

    @property
    def spoken(self) -> Spoken:
        """Its sections, of a connector other than `http`. Raises `InvalidCallError` for what that does not take."""
        if self._spoken is None:
            # here, because a gateway that calls HTTP alone needs nothing of connectors
            from gateway.actions.spoken import Spoken

            self._spoken = Spoken.of(self.connection, self.action)
        return self._spoken

    def check(self, given: Any) -> None:
        """Raises `InvalidCallError` when ``given`` does not fit the schema of the action."""
        if self.action is None:
            return
        if self._check is None:
            # here, because the validator is code of megabytes, which a gateway without actions does not need
            from gateway.actions.input import InputCheck, InvalidSchemaError

            try:
                self._check = InputCheck(self.action)
            except InvalidSchemaError as error:
                raise InvalidCallError(f"the input schema {error}", code=MISCONFIGURED) from None
        self._check.check(given)


class Index:
    """The connections and actions of one configuration."""

    def __init__(
        self,
        connections: Sequence[Connection],
        actions: Sequence[Action],
        rules: Governance = _ALL_ALLOWED,
    ) -> None:
        self._rules = rules
        by_trn = {each.trn: each for each in connections}
        self._connections = [Entry(each.trn, name_of(each), each, None) for each in connections]
        self._actions = [Entry(each.trn, name_of_action(each), by_trn[each.connection], each) for each in actions]
        everything = () if rules == _ALL_ALLOWED else (*self._connections, *self._actions)
        self._denied = frozenset(each.trn for each in everything if not allowed(rules, each.trn))
        self._named = {"connection": _by_name(self._connections), "action": _by_name(self._actions)}

    def find(self, asked: Asked) -> Entry:
        """What is to be called. Raises `InvalidCallError`; what belongs to another tenant is not there."""
        kind, name = ("action", asked.action) if asked.adhoc is None else ("connection", asked.adhoc.connection)
        found = self._named[kind].get((asked.tenant, name), ())
        if len(found) == 1:
            if found[0].trn in self._denied:
                raise forbidden(found[0].trn)
            return found[0]
        raise _not_found(kind, name, len(found))

    def connection_with_tokens(self, label: str) -> str | None:
        """The TRN of the connection of this route, when its calls need access tokens."""
        for entry in (*self._connections, *self._actions):
            if entry.label == label and entry.connection.auth.has_tokens:
                return entry.connection.trn
        return None

    def connection_summaries(self, tenant: str) -> list[ConnectionSummary]:
        """Those of ``tenant``, by name."""
        found = [
            connection_summary(each.connection, [own.trn for own in self._actions if own.connection is each.connection])
            for each in self._connections
            if _tenant(each) == tenant
        ]
        return sorted(found, key=lambda each: each["name"])

    def action_summaries(self, tenant: str) -> list[ActionSummary]:
        """Those of ``tenant``, by name."""
        found = [action_summary(each.action, each.connection, self._rules) for each in self._of(tenant) if each.action]
        return sorted(found, key=lambda each: each["name"])

    def actions_of(self, tenant: str) -> list[Entry]:
        """The actions of ``tenant`` that may be called."""
        return [each for each in self._of(tenant) if each.trn not in self._denied]

    def _of(self, tenant: str) -> list[Entry]:
        return [each for each in self._actions if _tenant(each) == tenant]


def _by_name(entries: Sequence[Entry]) -> dict[tuple[str, str], list[Entry]]:
    """By tenant and name, TRN, and both without the version: then it is the newest."""
    found: dict[tuple[str, str], list[Entry]] = {}
    for entry in sorted(entries, key=lambda each: trn.parse(each.trn).version):
        own = trn.parse(entry.trn)
        for name in (str(own), f"{own.name}@v{own.version}"):
            found.setdefault((own.tenant, name), []).append(entry)
        for name in (own.name, str(own._replace(version=0))):
            others = [each for each in found.get((own.tenant, name), ()) if not _same_but_version(each.trn, own)]
            found[own.tenant, name] = [*others, entry]
    return found


def _same_but_version(text: str, own: trn.Trn) -> bool:
    return trn.parse(text)._replace(version=0) == own._replace(version=0)


def _not_found(kind: str, name: str, found: int) -> InvalidCallError:
    if found:
        return InvalidCallError(f"{found} {kind}s have the name {name}; write the TRN of one", code=f"conflict.{kind}")
    if name.startswith("trn:"):
        try:
            trn.parse(name)
        except trn.InvalidTrnError as error:
            return InvalidCallError(str(error), code="validation.invalid_trn")
    return InvalidCallError(
        f"there is no {kind} {name[:200]}; gateway {kind} list shows them", code=f"not_found.{kind}"
    )


@dataclass(slots=True)
class Ready:  # not frozen, as `Merged`
    """A request that is ready to be sent, and from what it was merged."""

    merged: Merged
    prepared: Prepared


def prepare(entry: Entry, asked: Asked, clock: Clock = time.time, most: float = 0.0) -> Ready:
    """``most``: seconds that no call exceeds; 0: those of its action.

    Raises `InvalidCallError`: nothing is sent then.
    """
    recipe, given = entry.recipe, asked.input
    if recipe is None:
        assert asked.adhoc is not None
        action, given = _adhoc(entry, asked.adhoc)
        recipe = Recipe(entry.connection, action)
    else:
        entry.check(given)
        if asked.overrides is not None:
            entry, recipe = _overridden(entry, asked.overrides)
    merged = recipe.merge(given)
    if asked.link:
        merged = at_link(merged, entry.connection, asked.link)
    return _ready(entry, *_completed(entry, merged, clock), entry.bounded(most, asked.timeout))


def prepare_message(
    entry: Entry, fields: Mapping[str, str], message: Mapping[str, Any], timeout: float = 0.0, clock: Clock = time.time
) -> Ready:
    """A request to a server of MCP, with these header fields and this body. Raises `InvalidCallError`."""
    recipe = entry.recipe
    if recipe is None:
        recipe = _recipe_of_messages(entry.connection, Action(entry.trn, entry.connection.trn, "POST", ""))
    merged = recipe.merge({"headers": fields, "body": message})
    merged.path = urlsplit(entry.connection.base_url).path or "/"  # the URL of the server is that of all its tools
    return _ready(entry, *_completed(entry, merged, clock), entry.bounded(timeout))


def _recipe_of_messages(connection: Connection, action: Action) -> Recipe:
    """That of requests with a message as their body, which holds the input and nothing of the connection."""
    return Recipe(replace(connection, body={}), replace(action, parameters=(), input_schema=None))


def _ready(entry: Entry, merged: Merged, lines: list[bytes], seconds: float) -> Ready:
    prepared = Prepared(
        merged.method.encode(),
        merged.target.encode(),
        lines,
        merged.body,
        seconds,
        entry.patience if entry.retry is not None and may_repeat(entry.retry, merged) else None,
    )
    return Ready(merged, prepared)


def _overridden(entry: Entry, given: Overrides) -> tuple[Entry, Recipe]:
    """``entry`` for one call of its action: nothing that is kept for all of its calls is used or changed."""
    assert entry.action is not None
    action = overridden(entry.action, entry.connection, given)
    made = replace(entry, action=action)
    assert made.recipe is not None
    return made, made.recipe


def _completed(entry: Entry, merged: Merged, clock: Clock) -> tuple[Merged, list[bytes]]:
    """``merged`` with what the gateway adds, and its field lines."""
    kind = merged.content_type
    kept = None if kind is None else entry.kept.get(kind)
    if kept is not None:
        merged.headers, lines = kept
        return merged, lines
    if not merged.header("User-Agent"):
        merged.headers = (*merged.headers, Layered("User-Agent", _AGENT, DEFAULT))
    auth = entry.connection.auth
    merged = authenticated(auth, merged, entry.origin.authority, clock())
    lines = [
        f"{each.name}: {each.value}".encode("latin-1") for each in merged.headers if each.name.lower() not in _DROPPED
    ]
    if kind is not None and is_fixed(auth):
        entry.kept[kind] = merged.headers, lines
    return merged, lines


def dry_run(entry: Entry, ready: Ready) -> Planned:
    """What would be sent, without secrets."""
    connection, merged = entry.connection, ready.merged
    values = {**connection.headers, **connection.query}
    secrets = [*connection.auth.secrets, *(value for name, value in values.items() if is_secret(name))]
    hidden = (*connection.hidden, *(() if entry.action is None else entry.action.hidden))
    shown = Redaction([*secrets, *of_variables(hidden)])
    query = [(each.name, _value(shown, each, hidden=each.layer in (AUTH, CONNECTION))) for each in merged.query]
    fields = [(each, _value(shown, each, hidden=_hidden(entry, each))) for each in merged.headers]
    url = f"{entry.origin.url}{shown.text(merged.path)}"
    parameters = urlencode(query, quote_via=quote, safe="[]")
    return {
        "method": merged.method,
        "url": f"{url}?{parameters}" if query else url,
        "headers": [{"name": each.name, "value": value, "layer": each.layer} for each, value in fields],
        "body": shown_body(shown, merged.body, merged.header("Content-Type"), connection.body),
        "warnings": [shown.text(each) for each in merged.warnings],
    }


def _hidden(entry: Entry, field: Layered) -> bool:
    """Whether no value of this field is shown, because all or a part of it may be a secret of the connection."""
    name = field.name.lower()
    if field.layer == AUTH or name in PUBLIC:
        return field.layer == AUTH
    own = {each.lower() for each in entry.connection.headers}
    # A later layer may have added to what the connection has, instead of replacing it.
    return field.layer == CONNECTION or (name in own and name in entry.policy.append)


def _value(shown: Redaction, each: Layered, *, hidden: bool) -> str:
    return REDACTED if hidden else shown.value(each.name, each.value)


def _adhoc(entry: Entry, asked: AdHoc) -> tuple[Action, dict[str, Any]]:
    """An action that is stored nowhere, and the input with what was given."""
    check_method(asked.method)
    path, query = asked.path, asked.query
    if path.startswith(("http://", "https://")):
        path, more = below(entry.connection, path, "path")
        query = dict(more) | dict(query)
    layers = {"headers": asked.headers, "query": query}
    given: dict[str, Any] = {name: layer for name, layer in layers.items() if layer}
    if asked.body is not None:
        given["body"] = asked.body
    return Action(entry.trn, entry.connection.trn, asked.method, literal(path)), given


def _tenant(entry: Entry) -> str:
    return trn.parse(entry.trn).tenant
