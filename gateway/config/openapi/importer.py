"""A description of an API as connections and actions of a configuration file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from pydantic import ValidationError

from gateway.config.openapi.operations import METHODS, NotCallableError, Operation
from gateway.config.openapi.security import Credentials, Security
from gateway.config.openapi.source import InvalidDescriptionError, Source
from gateway.config.schema.actions import Action
from gateway.config.validation_messages import sentence

_ROOM: Final = 40
"""Characters of a name; with its tenant and its kind it has to fit into the names of metrics."""


@dataclass(slots=True)
class Imported:
    """``connections`` and ``actions``: as in a configuration file. ``remarks``: what is left out or needs a person."""

    connections: dict[str, dict[str, Any]] = field(default_factory=dict)
    actions: dict[str, dict[str, Any]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def _every(name: str, path: str) -> bool:
    del name, path
    return True


def imported(
    source: Source, *, name: str = "", base_url: str = "", wanted: Callable[[str, str], bool] = _every
) -> Imported:
    """The operations of ``source`` whose name and path are ``wanted``, as actions.

    ``name``: of the connection; "": from the title. ``base_url``: instead of the servers of the description, and the
    base of relative ones. Raises `InvalidDescriptionError`.
    """
    title = source.mapping(source.root.get("info"), "info").get("title")
    return _Import(source, name or plain_name(str(title or "api")).lower(), base_url, wanted).made()


class _Import:
    def __init__(self, source: Source, name: str, base_url: str, wanted: Callable[[str, str], bool]) -> None:
        self._source = source
        self._name = name
        self._base_url = base_url
        self._wanted = wanted
        self._found = Imported()
        self._security = Security(source, name, self._found.remarks)
        self._connections: dict[tuple[str, str], str] = {}
        """By base URL and credentials."""

    def made(self) -> Imported:
        for path, method, item, node in self._operations():
            name = self._action_name(node, method, path)
            if not self._wanted(name, path):
                continue
            where = f"{method.upper()} {path}"
            try:
                operation = Operation(self._source, path, method, node, item.get("parameters"), self._found.remarks)
                action = _checked(operation.action(self._name))
            except NotCallableError as error:
                self._found.remarks.append(f"{where} is left out: {error}")
                continue
            action["connection"] = self._connection(self._base(node, item), self._security.of(node, where))
            self._found.actions[name] = action
        return self._found

    def _operations(self) -> Iterator[tuple[str, str, Mapping[str, Any], Mapping[str, Any]]]:
        for path, listed in self._source.mapping(self._source.root.get("paths"), "paths").items():
            item = self._source.mapping(listed, f"paths/{path}")
            for method in METHODS:
                if method in item:
                    yield path, method, item, self._source.mapping(item[method], f"paths/{path}/{method}")

    def _action_name(self, node: Mapping[str, Any], method: str, path: str) -> str:
        """That of the operation, else one of its method and path; with a number when another has it."""
        plain = plain_name(str(node.get("operationId") or f"{method}-{path}"))
        name, number = plain, 1
        while name in self._found.actions:
            number += 1
            name = f"{plain[: _ROOM - 4]}-{number}"
        return name

    def _base(self, node: Mapping[str, Any], item: Mapping[str, Any]) -> str:
        """The base URL: the one that is given, else the first server of operation, path or description."""
        servers = next((each["servers"] for each in (node, item) if each.get("servers")), None)
        general = self._source.root.get("servers")
        if self._base_url and (servers is None or not _absolute(servers)):
            url = self._base_url if servers is None else urljoin(self._base_url, self._server(servers))
        else:
            url = self._server(servers or general)
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidDescriptionError(f"the server {url[:200] or '/'} is no URL of http or https; give --base-url")
        return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"

    def _server(self, servers: object) -> str:
        first = servers[0] if isinstance(servers, list) and servers else {}
        server = self._source.mapping(first, "servers")
        variables = self._source.mapping(server.get("variables"), "servers/variables")

        def default(match: re.Match[str]) -> str:
            known = self._source.mapping(variables.get(match[1]), f"servers/variables/{match[1]}")
            if "default" not in known:
                raise InvalidDescriptionError(f"the server variable {match[1]} has no default; give --base-url")
            return str(known["default"])

        return re.sub(r"\{([^{}]*)\}", default, str(server.get("url", "")))

    def _connection(self, base_url: str, credentials: Credentials) -> str:
        """The name of the connection for both, which is made when it is not there."""
        key = (base_url, credentials.name)
        if key in self._connections:
            return self._connections[key]
        name = self._name
        if self._connections:
            name = plain_name(f"{self._name}-{credentials.name or 'public'}")
            number = 1
            while name in self._found.connections:
                number += 1
                name = plain_name(f"{self._name}-{credentials.name or 'public'}-{number}")
        made: dict[str, Any] = {"base_url": base_url}
        made |= {"auth": dict(credentials.auth)} if credentials.auth is not None else {}
        made |= {"headers": dict(credentials.headers)} if credentials.headers else {}
        made |= {"query": dict(credentials.query)} if credentials.query else {}
        self._found.connections[name] = made
        self._connections[key] = name
        return name


def _checked(action: dict[str, Any]) -> dict[str, Any]:
    """``action``, which a configuration file can have. Raises `NotCallableError`."""
    try:
        Action.model_validate(action)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise NotCallableError(f"{'.'.join(map(str, first['loc']))} {sentence(first)}") from None
    return action


def plain_name(text: str) -> str:
    """``text`` as a name of a connection or of an action."""
    plain = re.sub(r"[^A-Za-z0-9_.]+", "-", text).strip("-.")
    return plain[:_ROOM].strip("-.") or "api"


def _absolute(servers: object) -> bool:
    first = servers[0] if isinstance(servers, list) and servers else {}
    return bool(urlsplit(str(first.get("url", "") if isinstance(first, Mapping) else "")).scheme)
