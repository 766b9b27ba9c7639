"""One proxy by itself, as the admin API and the database give it: checked by the same rules as the file."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping

from pydantic import ValidationError

from gateway.config import header_template, validation_messages, values
from gateway.config.errors import ConfigError, Problem
from gateway.config.formats.tree import Branch, grow
from gateway.config.networks import Destinations
from gateway.config.schema.connections import SHARED
from gateway.config.schema.protections import PROTECTIONS
from gateway.config.schema.proxy import Proxy

_DESTINATIONS = Destinations()
_NO_URL = Problem(
    "must be a URL, as http://host:port, or connection/NAME; a file alone can name other upstreams", ("upstream",)
)
_NO_URL_IN_FALLBACK = Problem(_NO_URL.message, ("fallback", "upstream"))
_NO_TLS = Problem(
    "names files of the gateway's machine, which only those who can write its configuration file may choose; move this "
    "proxy to the file, or remove this key",
    ("tls",),
)
"""It is said without a look at the files, so that no one learns of them. A `server_name` alone is not admitted either:
with it, a secret that is bound to an origin could be sent to a server with another certificate."""


def proxy(
    settings: Mapping[str, object],
    *,
    env: Mapping[str, str],
    secrets: Container[str],
    listed: Container[str] = (),
    name: str = "proxy",
    destinations: Destinations = _DESTINATIONS,
) -> Proxy:
    """The checked proxy. ``secrets`` are the keys of the store; ``name`` stands where the error names the source.

    ``listed`` are the variables of ``env`` that it may name (`template_env` of the file), ``destinations`` the
    addresses that its upstream may have.

    Raises `ConfigError`; its problems have the path of the field. Credentials must be references here, unlike in a
    file: a literal credential would be shown to every reader of the proxy.
    """
    data = dict(settings)
    literal = list(_literal_credentials(data))
    if data.pop("tls", None) is not None:
        literal.append(_NO_TLS)
    if _names_entry(data.get("upstream")):
        literal.append(_NO_URL)
    if isinstance(fallback := data.get("fallback"), Mapping) and _names_entry(fallback.get("upstream")):
        literal.append(_NO_URL_IN_FALLBACK)
    try:
        checked = Proxy.model_validate(data, context=header_template.Context(env, secrets, listed))
    except ValidationError as error:
        root = grow(name, data, {})
        assert isinstance(root, Branch)
        raise ConfigError(
            name, [_without_line(p) for p in validation_messages.problems(error, Proxy, root)] + literal
        ) from None
    if not checked.names_upstream:
        literal += _denied(checked, destinations)
    elif not _names_entry(checked.upstream):
        literal += _of_the_connection(checked)
    second = checked.fallback.url if checked.fallback is not None else ""
    if second and (denied := destinations.denial_of_url(second)):
        literal.append(Problem(denied, ("fallback", "upstream")))
    if literal:
        raise ConfigError(name, literal)
    return checked


def _names_entry(upstream: object) -> bool:
    """Whether it names an entry of `upstreams`, of which the file alone has some; it may name a connection."""
    return isinstance(upstream, str) and values.is_upstream_name(upstream) and not upstream.startswith(SHARED)


def _of_the_connection(checked: Proxy) -> Iterator[Problem]:
    """What its connection has for all that share it."""
    for key in ("endpoints", *PROTECTIONS):
        if getattr(checked, key) != Proxy.model_fields[key].default:
            yield Problem("belongs to the connection that this proxy names; change it there, or leave it out", (key,))


def _denied(checked: Proxy, destinations: Destinations) -> Iterator[Problem]:
    for number, url in enumerate(checked.urls):
        if denied := destinations.denial_of_url(url):
            yield Problem(denied, ("endpoints", number - 1, "url") if number else ("upstream",))


def references(headers: object) -> set[str]:
    """The variables and secrets that ``headers`` name, as in ``{"env.A", "secret.B"}``; none if they are no mapping."""
    texts = headers.values() if isinstance(headers, Mapping) else ()
    return set().union(*(header_template.references(text) for text in texts if isinstance(text, str)))


def unknown_secrets(checked: Proxy, secrets: Container[str]) -> list[str]:
    """The keys of secrets that its headers name and that are not among ``secrets``, the keys of the store."""
    named = (key.partition(".")[2] for key in references(checked.headers) if key.startswith("secret."))
    return sorted(key for key in named if key not in secrets)


def misdirected(checked: Proxy, urls: Iterable[str], bound: Mapping[str, Container[str]]) -> list[str]:
    """The secrets that its headers name and that may not be sent to its upstream, which is at ``urls``.

    ``bound``: the origins of each secret that is bound to some, as `values.origin` writes them.
    """
    named = {key.partition(".")[2] for key in references(checked.headers) if key.startswith("secret.")} & bound.keys()
    if not named:
        return []
    there = {values.origin(url) for url in urls}
    return sorted(key for key in named if any(origin not in bound[key] for origin in there))


def is_own(variable: str) -> bool:
    """Whether it is one of the gateway's own environment variables, which no template reads."""
    return variable.startswith(values.OWN_VARIABLES)


def unlisted(checked: Proxy, listed: Container[str]) -> list[str]:
    """The variables that its headers name although a proxy of the database may not: they stay empty when it runs."""
    named = (key.partition(".")[2] for key in references(checked.headers) if key.startswith("env."))
    return sorted(key for key in named if not header_template.readable({key: ""}, listed))


def stored(settings: Mapping[str, object], *, name: str = "proxy") -> Proxy:
    """A proxy that was checked when it was saved: what its references name may have vanished since.

    Still raises `ConfigError` for what this version of the gateway cannot serve.
    """
    if settings.get("tls") is not None:
        raise ConfigError(name, [_NO_TLS])
    try:
        checked = Proxy.model_validate(dict(settings), context=header_template.Context(lenient=True))
    except ValidationError as error:
        root = grow(name, dict(settings), {})
        assert isinstance(root, Branch)
        raise ConfigError(name, map(_without_line, validation_messages.problems(error, Proxy, root))) from None
    if _names_entry(checked.upstream):
        raise ConfigError(name, [_NO_URL])
    if any(map(_names_entry, checked.named_upstreams())):
        raise ConfigError(name, [_NO_URL_IN_FALLBACK])
    return checked


def _literal_credentials(data: Mapping[str, object]) -> Iterator[Problem]:
    headers = data.get("headers")
    for field, text in headers.items() if isinstance(headers, Mapping) else ():
        if (
            isinstance(text, str)
            and text
            and header_template.is_credential(str(field))
            and not header_template.is_template(text)
        ):
            yield Problem(
                "looks like a credential written out; store it as a secret and write {secret.NAME}, or {env.NAME}",
                ("headers", str(field)),
            )


def _without_line(problem: Problem) -> Problem:
    return Problem(problem.message, problem.path)
