"""From a file or a text to a checked `Document`, or to a `ConfigError` with all problems and their lines."""

from __future__ import annotations

import pathlib
import traceback
from collections.abc import Iterator, Mapping

from pydantic import ValidationError

from gateway.config import collisions, header_template, validation_messages
from gateway.config.errors import ConfigError, Path, Problem
from gateway.config.formats import read
from gateway.config.formats.read import Format
from gateway.config.formats.tree import Branch, locate
from gateway.config.records import Document
from gateway.config.schema.settings import Settings
from gateway.config.variables import Substitution

__all__ = ["ConfigError", "Format", "load", "load_settings", "parse", "settings_in"]


def load(path: pathlib.Path, env: Mapping[str, str]) -> Document:
    """The document in the file ``path``; ``env`` serves its ``${VAR}`` and ``{env.NAME}``.

    Raises `ConfigError`, also when the file cannot be read.
    """
    return load_settings(path, env).record(env, {})


def load_settings(path: pathlib.Path, env: Mapping[str, str]) -> Settings:
    """The settings in the file ``path``, as `load`."""
    format_ = read.format_of(path)
    return settings_in(read.text_of(path), format_, str(path), env)


def parse(text: str, format: Format, name: str, env: Mapping[str, str]) -> Document:  # noqa: A002 - the contract's word
    """The document in ``text``; errors call the file ``name``. Raises `ConfigError`."""
    return settings_in(text, format, name, env).record(env, {})


def settings_in(text: str, format: Format, name: str, env: Mapping[str, str]) -> Settings:  # noqa: A002
    """The settings in ``text``, as `parse`."""
    try:
        return _checked(text, format, name, env)
    except ConfigError:
        raise
    except Exception as error:
        # Reported like any other problem, because the task that follows the file must go on. The exception itself may
        # hold a secret, so its kind and place are all that is shown.
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{pathlib.Path(place.filename).name}:{place.lineno}"
        message = f"the check ends with {type(error).__name__} at {where}, a fault of the gateway; please report it"
        raise ConfigError(name, [Problem(message)]) from None


def _checked(text: str, format: Format, name: str, env: Mapping[str, str]) -> Settings:  # noqa: A002
    problems: list[Problem] = []
    root = read.tree_of(text, format, name, problems)
    substitution = Substitution(root, env)
    data = substitution.data()
    settings, findings = _validated(data, root, env)
    unset = {problem.path for problem in substitution.problems}
    problems += substitution.problems
    problems += (problem for problem in findings if not _lies_below(problem.path, unset))
    problems += (problem for problem in collisions.find(data, root) if not _lies_below(problem.path, unset))
    problems += () if settings is None else _denied(settings, root)
    if problems or settings is None:
        raise ConfigError(name, problems)
    settings.remember(substitution.inserted)
    return settings


def _denied(settings: Settings, root: Branch) -> Iterator[Problem]:
    destinations = settings.destinations()
    for path, url in _urls(settings):
        if denied := destinations.denial_of_url(url):
            line, shown = locate(root, path)
            yield Problem(denied, shown, line)


def _urls(settings: Settings) -> Iterator[tuple[Path, str]]:
    """Each URL to which the gateway itself connects, with its place in the file."""
    for index, jwt in enumerate(settings.auth.jwt):
        if jwt.jwks_url:
            yield ("auth", "jwt", index, "jwks_url"), jwt.jwks_url
    for index, upstream in enumerate(settings.upstreams):
        for number, endpoint in enumerate(upstream.endpoints):
            yield ("upstreams", index, "endpoints", number, "url"), endpoint.url
    groups = [(group, ("connectors", kind)) for kind, group in settings.connectors.groups()]
    for connections, at in ((settings.connections, ()), *((group.connections, at) for group, at in groups)):
        for name, connection in connections.items():
            for path, url in connection.urls():
                yield (*at, "connections", name, *path), url
    for index, proxy in enumerate(settings.proxies):
        if not proxy.names_upstream:
            yield ("proxies", index, "upstream"), proxy.upstream
        for number, endpoint in enumerate(proxy.endpoints):
            yield ("proxies", index, "endpoints", number, "url"), endpoint.url
        if proxy.fallback is not None and proxy.fallback.url:
            yield ("proxies", index, "fallback", "upstream"), proxy.fallback.url


def _validated(data: object, root: Branch, env: Mapping[str, str]) -> tuple[Settings | None, list[Problem]]:
    """The error is read and dropped here: pydantic's own texts and tracebacks could show a secret."""
    has_store = isinstance(data, dict) and data.get("database") is not None
    context = header_template.Context(env, header_template.AnySecret() if has_store else None)
    try:
        return Settings.model_validate(data, context=context), []
    except ValidationError as error:
        return None, list(validation_messages.problems(error, Settings, root))


def _lies_below(path: Path, others: set[Path]) -> bool:
    return any(path[:depth] in others for depth in range(1, len(path) + 1))
