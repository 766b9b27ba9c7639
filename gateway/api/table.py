"""The one table of the API's routes: handlers, access and the OpenAPI document all come from it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import unquote

from pydantic import BaseModel, ValidationError

from gateway.admin.errors import validation
from gateway.admin.live import Actor
from gateway.admin.rights import metrics_readers_only, superusers_only
from gateway.admin.service import Administration
from gateway.api import schemas, sse
from gateway.api.media_types import content_type, wants_open_metrics
from gateway.config.finding import sentence

BASE: Final = "/api/gateway"

Query = tuple[str, type, str]
"""(name, int, str or bool; what it means)"""

_PAGING: Final[tuple[Query, ...]] = (
    ("page", int, "The page, from 1."),
    ("per_page", int, "Items on a page, 1 to 1000."),
)
_DRY_RUN: Final[Query] = ("dry_run", bool, "true: change nothing, and answer what would be touched.")


class Health(Protocol):
    """How the gateway is: asked by load balancers and orchestrators."""

    def live(self) -> Mapping[str, object]: ...
    def ready(self) -> tuple[bool, Mapping[str, object]]: ...


@dataclass(frozen=True, slots=True)
class Call:
    """One request, checked: ``body`` is the parsed JSON, ``query`` holds the parameters that were given."""

    administration: Administration
    health: Health
    actor: Actor
    client: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    if_match: int | None = None
    accept: str = ""
    """What the caller wants to have the answer in."""
    described: Mapping[str, object] = field(default_factory=dict)
    """The OpenAPI document."""
    device: str = field(default="", repr=False)
    """The cookie of a device that logged in before."""

    def model(self, kind: type[BaseModel]) -> Any:
        """The body as ``kind``. Raises `AdminError` with the path of each wrong field."""
        try:
            return kind.model_validate(dict(self.body))
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            raise validation((".".join(map(str, e["loc"])), sentence(e)) for e in found) from None

    def versioned(self) -> tuple[dict[str, Any], int | None]:
        """The body without its version, and the version that it, or If-Match, names."""
        body = dict(self.body)
        version = body.pop("version", None)
        if version is not None and (not isinstance(version, int) or isinstance(version, bool)):
            raise validation([("version", "must be a whole number; write it in digits, without quotes")])
        return body, self.if_match if self.if_match is not None else version


@dataclass(frozen=True, slots=True)
class Text:
    """An answer that is no JSON."""

    kind: str
    """Its media type, with parameters."""
    text: str


@dataclass(frozen=True, slots=True)
class Welcome:
    """The response to a login: ``device`` travels in a cookie that later logins show."""

    body: Mapping[str, object]
    device: str = field(repr=False)


Result = tuple[int, Mapping[str, object] | Text | Welcome | None]
Handler = Callable[[Call], Awaitable[Result]]
Stream = Callable[[Call], AsyncIterator[bytes]]
"""Server-Sent Events, for as long as they are read."""


@dataclass(frozen=True, slots=True)
class Route:
    """``open``: nobody has to log in for it. ``told``: an open one that tells a superuser more. ``versioned``: If-Match
    may name the version that is changed.

    ``body`` and ``answers`` (by status) are for the OpenAPI document. ``stream``: what follows in the place of a body
    when ``handler`` has let the caller in. ``right`` is asked before anything of the request is looked at.
    """

    method: str
    path: str
    operation: str
    summary: str
    handler: Handler
    answers: Mapping[int, type[BaseModel] | None]
    body: type[BaseModel] | None = None
    query: tuple[Query, ...] = ()
    open: bool = False
    told: bool = False
    versioned: bool = False
    stream: Stream | None = None
    right: Callable[[Actor], None] = superusers_only
    kind: str = "application/json"
    """Media type of the answer, without parameters."""


async def _login(call: Call) -> Result:
    body = call.model(schemas.Login)
    made = await call.administration.accounts.login(body.email, body.password, call.client, call.device)
    return 200, Welcome(made.session, made.device)


async def _logout(call: Call) -> Result:
    await call.administration.accounts.logout(call.actor)
    return 204, None


async def _change_password(call: Call) -> Result:
    body = call.model(schemas.PasswordChange)
    return 200, await call.administration.accounts.change_password(call.actor, body.current, body.password)


async def _set_password(call: Call) -> Result:
    body = call.model(schemas.NewPassword)
    accounts = call.administration.accounts
    return 200, await accounts.set_password(call.actor, call.parameters["id"], body.password, tokens=body.tokens)


async def _sessions(call: Call) -> Result:
    return 200, await call.administration.accounts.sessions(call.actor)


async def _end_session(call: Call) -> Result:
    await call.administration.accounts.end_session(call.actor, call.parameters["id"])
    return 204, None


async def _proxies(call: Call) -> Result:
    return 200, await call.administration.proxies.find(call.actor, **call.query)


async def _proxy(call: Call) -> Result:
    return 200, await call.administration.proxies.get(call.actor, call.parameters["name"])


async def _create_proxy(call: Call) -> Result:
    dry_run = bool(call.query.get("dry_run"))
    made = await call.administration.proxies.create(call.actor, call.body, dry_run=dry_run)
    return 200 if dry_run else 201, made


async def _replace_proxy(call: Call) -> Result:
    body, version = call.versioned()
    dry_run = bool(call.query.get("dry_run"))
    proxies = call.administration.proxies
    return 200, await proxies.replace(call.actor, call.parameters["name"], body, version, dry_run=dry_run)


async def _patch_proxy(call: Call) -> Result:
    body, version = call.versioned()
    dry_run = bool(call.query.get("dry_run"))
    proxies = call.administration.proxies
    return 200, await proxies.patch(call.actor, call.parameters["name"], body, version, dry_run=dry_run)


async def _delete_proxy(call: Call) -> Result:
    version = call.query.get("version") if call.if_match is None else call.if_match
    dry_run = bool(call.query.get("dry_run"))
    proxies = call.administration.proxies
    return 200, await proxies.delete(call.actor, call.parameters["name"], version, dry_run=dry_run)


async def _validate(call: Call) -> Result:
    return 200, await call.administration.proxies.validate(call.actor, call.body)


async def _reset(call: Call) -> Result:
    return 200, await call.administration.proxies.reset_breaker(call.actor, call.parameters["name"])


async def _secrets(call: Call) -> Result:
    return 200, await call.administration.secrets.all(call.actor)


async def _secret(call: Call) -> Result:
    return 200, await call.administration.secrets.get(call.actor, call.parameters["key"])


async def _put_secret(call: Call) -> Result:
    body = call.model(schemas.NewSecret)
    key = call.parameters["key"]
    return 200, await call.administration.secrets.put(call.actor, key, body.value, body.description, body.origins)


async def _bind_secret(call: Call) -> Result:
    body = call.model(schemas.SecretBinding)
    return 200, await call.administration.secrets.bind(call.actor, call.parameters["key"], body.origins)


async def _delete_secret(call: Call) -> Result:
    force = bool(call.query.get("force"))
    return 200, await call.administration.secrets.delete(call.actor, call.parameters["key"], force=force)


async def _superusers(call: Call) -> Result:
    return 200, await call.administration.accounts.superusers(call.actor)


async def _create_superuser(call: Call) -> Result:
    body = call.model(schemas.NewSuperuser)
    return 201, await call.administration.accounts.create_superuser(call.actor, body.email, body.password)


async def _delete_superuser(call: Call) -> Result:
    await call.administration.accounts.delete_superuser(call.actor, call.parameters["id"])
    return 204, None


async def _tokens(call: Call) -> Result:
    return 200, await call.administration.accounts.tokens(call.actor)


async def _create_token(call: Call) -> Result:
    body = call.model(schemas.NewToken)
    made = await call.administration.accounts.create_token(
        call.actor,
        body.name,
        superuser=body.superuser,
        metrics=body.metrics,
        expires_in=body.expires_in,
        claims=body.claims,
    )
    return 201, made


async def _delete_token(call: Call) -> Result:
    await call.administration.accounts.delete_token(call.actor, call.parameters["id"])
    return 204, None


async def _audit(call: Call) -> Result:
    return 200, await call.administration.audit(call.actor, **call.query)


async def _explain(call: Call) -> Result:
    return 200, await call.administration.explanations.upstream(call.actor, call.parameters["name"])


async def _request(call: Call) -> Result:
    return 200, await call.administration.explanations.request(call.actor, call.parameters["id"])


async def _metrics(call: Call) -> Result:
    open_metrics = wants_open_metrics(call.accept)
    text = await call.administration.explanations.metrics(call.actor, open_metrics=open_metrics)
    return 200, Text(content_type(open_metrics=open_metrics), text)


async def _live(call: Call) -> Result:
    superusers_only(call.actor)
    call.administration.live_feed.check_room()
    return 200, None


def _watch(call: Call) -> AsyncIterator[bytes]:
    return sse.watch(call.administration, call.actor)


async def _healthz(call: Call) -> Result:
    told = call.health.live()
    return 200, told if call.actor.superuser else {"status": told["status"]}


async def _readyz(call: Call) -> Result:
    ready, told = call.health.ready()
    status = {"status": "ready" if ready else "not ready"}
    return 200 if ready else 503, {**status, **told} if call.actor.superuser else status


async def _openapi(call: Call) -> Result:
    return 200, call.described


_P, _N = "/proxies", "/proxies/{name}"
_CHANGED: Final = {200: schemas.ProxyAnswer}

ROUTES: Final[tuple[Route, ...]] = (
    Route("POST", "/auth/login", "login", "Log in", _login, {200: schemas.Session}, schemas.Login, open=True),
    Route("POST", "/auth/logout", "logout", "End this login", _logout, {204: None}),
    Route(
        "POST",
        "/auth/password",
        "changePassword",
        "Change your own password; your other logins end",
        _change_password,
        {200: schemas.PasswordChanged},
        schemas.PasswordChange,
    ),
    Route("GET", "/sessions", "listSessions", "List logins", _sessions, {200: schemas.SessionList}),
    Route("DELETE", "/sessions/{id}", "endSession", "End a login", _end_session, {204: None}),
    Route(
        "GET",
        _P,
        "listProxies",
        "List proxies with their state",
        _proxies,
        {200: schemas.ProxyList},
        query=(*_PAGING, ("search", str, "In name, path, upstream and hosts.")),
    ),
    Route(
        "POST",
        _P,
        "createProxy",
        "Create a proxy",
        _create_proxy,
        {201: schemas.ProxyAnswer, 200: schemas.DryRun},
        schemas.NewProxy,
        (_DRY_RUN,),
    ),
    Route(
        "POST", f"{_P}/validate", "validateProxy", "Check a proxy", _validate, {200: schemas.DryRun}, schemas.NewProxy
    ),
    Route("GET", _N, "getProxy", "Show a proxy", _proxy, {200: schemas.ProxyAnswer}),
    Route(
        "PUT",
        _N,
        "replaceProxy",
        "Replace a proxy",
        _replace_proxy,
        _CHANGED,
        schemas.NewProxy,
        (_DRY_RUN,),
        versioned=True,
    ),
    Route(
        "PATCH",
        _N,
        "patchProxy",
        "Change a proxy",
        _patch_proxy,
        _CHANGED,
        schemas.ProxyPatch,
        (_DRY_RUN,),
        versioned=True,
    ),
    Route(
        "DELETE",
        _N,
        "deleteProxy",
        "Delete a proxy",
        _delete_proxy,
        {200: schemas.Deleted},
        query=(_DRY_RUN, ("version", int, "The version that is deleted; none: whatever stands there.")),
        versioned=True,
    ),
    Route("POST", f"{_N}/breaker/reset", "resetBreaker", "Close the circuit breaker by hand", _reset, _CHANGED),
    Route("GET", "/secrets", "listSecrets", "List secrets, masked", _secrets, {200: schemas.SecretList}),
    Route("GET", "/secrets/{key}", "getSecret", "Show a secret, masked", _secret, {200: schemas.SecretAnswer}),
    Route(
        "PUT",
        "/secrets/{key}",
        "putSecret",
        "Store a secret",
        _put_secret,
        {200: schemas.SecretAnswer},
        schemas.NewSecret,
    ),
    Route(
        "PATCH",
        "/secrets/{key}",
        "bindSecret",
        "Say to which upstream origins a secret may be sent",
        _bind_secret,
        {200: schemas.SecretAnswer},
        schemas.SecretBinding,
    ),
    Route(
        "DELETE",
        "/secrets/{key}",
        "deleteSecret",
        "Delete a secret",
        _delete_secret,
        {200: schemas.Deleted},
        query=(("force", bool, "true: even while proxies name it."),),
    ),
    Route("GET", "/superusers", "listSuperusers", "List superusers", _superusers, {200: schemas.SuperuserList}),
    Route(
        "POST",
        "/superusers",
        "createSuperuser",
        "Create a superuser",
        _create_superuser,
        {201: schemas.SuperuserAnswer},
        schemas.NewSuperuser,
    ),
    Route("DELETE", "/superusers/{id}", "deleteSuperuser", "Delete a superuser", _delete_superuser, {204: None}),
    Route(
        "PUT",
        "/superusers/{id}/password",
        "setPassword",
        "Set another superuser's password; all logins of that one end",
        _set_password,
        {200: schemas.PasswordChanged},
        schemas.NewPassword,
    ),
    Route("GET", "/tokens", "listTokens", "List tokens", _tokens, {200: schemas.TokenList}),
    Route(
        "POST", "/tokens", "createToken", "Create a token", _create_token, {201: schemas.TokenAnswer}, schemas.NewToken
    ),
    Route("DELETE", "/tokens/{id}", "deleteToken", "Revoke a token", _delete_token, {204: None}),
    Route("GET", "/audit", "listAudit", "Who did what", _audit, {200: schemas.AuditList}, query=_PAGING),
    Route(
        "GET",
        "/upstreams/{name}/explain",
        "explainUpstream",
        "Why a proxy admits or refuses now",
        _explain,
        {200: schemas.Explained},
    ),
    Route(
        "GET",
        "/requests/{id}",
        "explainRequest",
        "What became of a recent request",
        _request,
        {200: schemas.RequestExplained},
    ),
    Route(
        "GET",
        "/metrics",
        "metrics",
        "Metrics, for Prometheus",
        _metrics,
        {200: None},
        right=metrics_readers_only,
        kind="text/plain",
    ),
    Route("GET", "/live", "watch", "Watch the data plane, an event a second", _live, {200: None}, stream=_watch),
    Route(
        "GET", "/healthz", "live", "The control process lives", _healthz, {200: schemas.Healthy}, open=True, told=True
    ),
    Route(
        "GET",
        "/readyz",
        "ready",
        "Traffic is served",
        _readyz,
        {200: schemas.Healthy, 503: schemas.Healthy},
        open=True,
        told=True,
    ),
    Route("GET", "/openapi.json", "openapi", "This document", _openapi, {200: schemas.Document}, open=True),
)


def find(method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """The route of a path below `BASE`, and its parameters; for callers without HTTP."""
    for route in ROUTES:
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(route.path))
        match = re.fullmatch(pattern, path) if route.method == method else None
        if match is not None:
            return route, {name: unquote(value) for name, value in match.groupdict().items()}
    return None
