"""Security schemes of a description as credentials of connections: values are variables that a person sets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.config.openapi.source import Source
from gateway.config.references import Reference

_BEARER: Final = frozenset(("oauth2", "openIdConnect"))
"""Their flows are not read: the access token is a variable."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a connection has for one requirement. ``name``: of its schemes; "": there are none."""

    name: str = ""
    auth: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)


class Security:
    """The schemes of one description. ``prefix`` begins the names of variables."""

    def __init__(self, source: Source, prefix: str, remarks: list[str]) -> None:
        self._source = source
        self._prefix = prefix
        self._remarks = remarks
        components = source.mapping(source.root.get("components"), "components")
        self._schemes = source.mapping(components.get("securitySchemes"), "components/securitySchemes")

    def of(self, operation: Mapping[str, Any], where: str) -> Credentials:
        """The first alternative of an operation, else of the description, that calls can meet."""
        listed = operation.get("security", self._source.root.get("security"))
        alternatives = [each for each in listed if isinstance(each, Mapping)] if isinstance(listed, list) else []
        for needed in alternatives:
            if needed and (found := self._met(list(map(str, needed)))) is not None:
                return found
        if alternatives and all(alternatives):
            names = ", ".join(dict.fromkeys(str(name) for each in alternatives for name in each))
            self._remark(f"{where}: {names} cannot be met; add what it needs to the connection")
        return Credentials()

    def _met(self, names: list[str]) -> Credentials | None:
        """All of these schemes at once; None: there is one that no connection has. One of them is the `auth`."""
        auth: Mapping[str, Any] | None = None
        headers: dict[str, str] = {}
        query: dict[str, str] = {}
        for name in names:
            found = self._auth(name)
            if found is None:
                return None
            if auth is None and found["type"] != "cookie":
                auth = found
            elif found["type"] == "cookie":
                headers["Cookie"] = Reference(f"{found['name']}={found['value']}")
            elif found["type"] == "api_key":
                (headers if found["in"] == "header" else query)[found["name"]] = found["value"]
            else:
                return None
        return Credentials("-".join(names), auth, headers, query)

    def _auth(self, name: str) -> dict[str, Any] | None:
        scheme = self._source.mapping(self._schemes.get(name), f"components/securitySchemes/{name}")
        kind, http = scheme.get("type"), str(scheme.get("scheme", "")).lower()
        if kind == "apiKey" and scheme.get("in") in ("header", "query"):
            return {
                "type": "api_key",
                "name": str(scheme.get("name")),
                "value": self._variable(name),
                "in": scheme["in"],
            }
        if kind == "apiKey" and scheme.get("in") == "cookie":
            return {"type": "cookie", "name": str(scheme.get("name")), "value": self._variable(name)}
        if kind == "http" and http == "basic":
            user, password = self._variable(f"{name}_username"), self._variable(f"{name}_password")
            return {"type": "basic", "username": user, "password": password}
        if kind in _BEARER:
            self._remark(f"{name}: its flow is not read; set {self._variable(name)[2:-1]} to an access token")
        if kind in _BEARER or (kind == "http" and http == "bearer"):
            return {"type": "bearer", "token": self._variable(name)}
        return None

    def _variable(self, name: str) -> Reference:
        plain = re.sub(r"[^A-Za-z0-9]+", "_", f"{self._prefix}_{name}").strip("_").upper()
        return Reference(f"${{{plain if not plain[:1].isdigit() else f'API_{plain}'}}}")

    def _remark(self, text: str) -> None:
        if text not in self._remarks:
            self._remarks.append(text)
