"""One operation of a description as one action of the configuration file, and what of it cannot be called."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

from gateway.config.openapi.schemas import ANY, Schemas, kind, may_be_null
from gateway.config.openapi.source import InvalidDescriptionError, Source

METHODS: Final = ("get", "head", "post", "put", "patch", "delete", "options")
_PLACE: Final = re.compile(r"\{([^{}]*)\}")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_OURS: Final = frozenset(("accept", "content-type", "authorization"))
"""Header fields that are no parameters (OpenAPI 3.1.0, Parameter Object)."""
_FORMS: Final = {"application/x-www-form-urlencoded": "form", "multipart/form-data": "multipart"}
"""Those that can be sent, the preferred first, by the names that a body of an action has for them."""


class NotCallableError(ValueError):
    """Says why no action can be made of an operation."""


@dataclass(slots=True)
class _Made:
    """An action in the making. ``taken``: the names of its parameters."""

    path: str
    parameters: list[dict[str, Any]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] | None = None
    taken: set[str] = field(default_factory=set)

    def name(self, wanted: str) -> str:
        """A name that a parameter of an action can have, and that no other one has."""
        plain = re.sub(r"[^A-Za-z0-9_-]+", "_", wanted).strip("_-") or "value"
        plain = plain if _NAME.fullmatch(plain) else f"_{plain}"
        found, number = plain, 1
        while found in self.taken:
            number += 1
            found = f"{plain}_{number}"
        self.taken.add(found)
        return found


class Operation:
    """One operation. ``shared``: the parameters of its path. ``remarks`` grow by what is left out."""

    def __init__(
        self, source: Source, path: str, method: str, node: Mapping[str, Any], shared: object, remarks: list[str]
    ) -> None:
        self._source = source
        self._where = f"{method.upper()} {path}"
        self._path = path
        self._method = method
        self._node = node
        self._shared = shared
        self._remarks = remarks
        self._schemas = Schemas(source)

    def action(self, connection: str) -> dict[str, Any]:
        """It as an entry of `actions`. Raises `NotCallableError` and `InvalidDescriptionError`."""
        path, _, query = self._path.partition("?")
        made = _Made(path.partition("#")[0])
        # Some descriptions tell operations of one path apart by a query, which is a part of each request.
        made.query = dict(parse_qsl(query.partition("#")[0], keep_blank_values=True))
        for parameter in self._parameters():
            self._add(made, parameter)
        self._add_body(made)
        if missing := [name for name in _PLACE.findall(made.path) if name not in made.taken]:
            raise NotCallableError(f"its path has {{{missing[0]}}}, which is no parameter of it")
        if made.cookies:
            made.headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in made.cookies.items())
        found: dict[str, Any] = {"connection": connection}
        if description := str(self._node.get("summary") or self._node.get("description") or "").strip():
            found["description"] = " ".join(description.split())[:1000]
        found |= {"method": self._method.upper(), "path": made.path}
        for key in ("headers", "query", "body", "parameters"):
            if value := getattr(made, key):
                found[key] = value
        if self._schemas.definitions:
            found["input_schema"] = _input_schema(made.parameters, self._schemas.definitions)
        return found

    def _parameters(self) -> Iterator[Mapping[str, Any]]:
        """Those of the operation, and those of its path that it does not have itself."""
        found: dict[tuple[object, object], Mapping[str, Any]] = {}
        for listed in (self._shared, self._node.get("parameters")):
            if not isinstance(listed, list | None):
                raise InvalidDescriptionError(f"{self._where}: parameters must be a list; correct the description")
            for each in listed or ():
                parameter = self._source.mapping(each, f"{self._where}/parameters")
                found[parameter.get("name"), parameter.get("in")] = parameter
        yield from found.values()

    def _add(self, made: _Made, parameter: Mapping[str, Any]) -> None:
        name, place = str(parameter.get("name", "")), parameter.get("in")
        required = parameter.get("required") is True
        if place == "header" and name.lower() in _OURS:
            return
        schema = self._schema(parameter, name, required=required)
        if schema is None:
            return
        own = made.name(name)
        entry = _entry(own, schema, str(parameter.get("description", "")), required=required or place == "path")
        match place:
            case "path":
                made.path = made.path.replace(f"{{{name}}}", f"{{{own}}}")
            case "query" | "header" if own == name:
                entry["in"] = place
            case "query":
                made.query[name] = f"{{{own}}}"
            case "header":
                made.headers[name] = f"{{{own}}}"
            case "cookie" if required:
                made.cookies[name] = f"{{{own}}}"
            case "cookie":
                self._remarks.append(f"{self._where}: the cookie {name} is left out; give it as a header field")
                return
            case _:
                raise InvalidDescriptionError(f"{self._where}: the parameter {name} has no place; correct its `in`")
        made.parameters.append(entry)

    def _schema(self, parameter: Mapping[str, Any], name: str, *, required: bool) -> dict[str, Any] | None:
        """That of a parameter whose value can be written as text or as a list of texts; None: it is left out."""
        schema = self._schemas.converted(parameter.get("schema", {}), f"{self._where}/parameters/{name}")
        if schema is True:
            schema = {}
        inner, _ = self._source.resolved(parameter.get("schema"), name)
        if "content" in parameter or kind(inner) == "object" or parameter.get("style") == "deepObject":
            if required:
                raise NotCallableError(f"the parameter {name} is an object, which no path, query or field can hold")
            self._remarks.append(f"{self._where}: the parameter {name} is left out, because it is an object")
            return None
        joined = parameter.get("in") != "query" or parameter.get("explode") is False
        if kind(inner) == "array" and joined and parameter.get("in") != "header":
            return {"type": "string", "description": "Several values with commas between them."}
        return dict(schema)

    def _add_body(self, made: _Made) -> None:
        node = self._source.mapping(self._node.get("requestBody"), f"{self._where}/requestBody")
        content = self._source.mapping(node.get("content"), f"{self._where}/requestBody/content")
        if not content or self._method in ("get", "head"):
            return
        kinds = {str(name).partition(";")[0].strip().lower(): name for name in content}
        json_kind = next((each for each in kinds if each == "application/json" or each.endswith("+json")), "")
        any_kind = next((each for each in kinds if each in ("*/*", "application/*")), "")
        text_kind = next((each for each in kinds if each.startswith("text/") or each.endswith("xml")), "")
        required = node.get("required") is True
        if chosen := json_kind or any_kind:
            body: dict[str, Any] = {"type": "json"}
            if json_kind not in ("", "application/json"):
                body["content_type"] = str(kinds[json_kind])
            self._add_whole(made, body, content[kinds[chosen]], node, required=required)
        elif forms := [each for each in _FORMS if each in kinds]:
            form = next((each for each in forms if self._has_file(content[kinds[each]], _FORMS[each])), forms[0])
            self._add_form(made, _FORMS[form], content[kinds[form]], required=required)
        elif text_kind:
            body = {"type": "text", "content_type": str(kinds[text_kind])}
            self._add_whole(made, body, {"schema": {"type": "string"}}, node, required=True)
        elif required:
            raise NotCallableError(f"its body is {', '.join(kinds)}; JSON, forms and text can be sent")
        else:
            self._remarks.append(f"{self._where}: its body ({', '.join(kinds)}) is left out")

    def _add_whole(
        self, made: _Made, body: dict[str, Any], media: object, node: Mapping[str, Any], *, required: bool
    ) -> None:
        """The body is one value of the input."""
        where = f"{self._where}/requestBody"
        schema = self._schemas.converted(self._source.mapping(media, where).get("schema", {}), where)
        own = made.name("body")
        made.parameters.append(
            _entry(own, schema if isinstance(schema, dict) else {}, str(node.get("description", "")), required=required)
        )
        made.body = {**body, "value": f"{{{own}}}"}

    def _add_form(self, made: _Made, form: str, media: object, *, required: bool) -> None:
        """Each member of the form is a value of the input. ``form``: one of `_FORMS`."""
        members, listed = self._members(media)
        found = {
            name: self._member(member, f"{self._where}/requestBody/properties/{name}", files=form == "multipart")
            for name, member in members.items()
        }
        objects = [name for name, schema in found.items() if schema is None]
        needed = next((name for name in objects if name in listed), None)
        wrong = ""
        if form == "multipart" and not members:
            wrong = "is multipart/form-data, and the description names no part of it"
        elif needed is not None:
            wrong = f"needs {needed}, which is an object, and no form can hold one"
        elif form == "multipart" and len(objects) == len(members):
            wrong = "is multipart/form-data, and all parts of it are objects, which it cannot hold"
        if wrong and required:
            raise NotCallableError(f"its body {wrong}")
        if wrong:
            self._remarks.append(f"{self._where}: its body is left out: it {wrong}")
            return
        self._remarks += [f"{self._where}: {name} of the form is left out, because it is an object" for name in objects]
        value: dict[str, str] = {}
        for name, schema in found.items():
            if schema is not None:
                own = made.name(name)
                made.parameters.append(_entry(own, schema, "", required=name in listed))
                value[name] = f"{{{own}}}"
        made.body = {"type": form, "value": value}

    def _members(self, media: object) -> tuple[dict[str, object], list[object]]:
        """The schemas of the members of a form by their names, and the names of those that it needs."""
        where = f"{self._where}/requestBody"
        schema, _ = self._source.resolved(self._source.mapping(media, where).get("schema"), where)
        found = self._schemas.flat(self._source.mapping(schema, where), where)
        members = self._source.mapping(found.get("properties"), f"{where}/properties")
        listed = found.get("required")
        return {str(name): each for name, each in members.items()}, listed if isinstance(listed, list) else []

    def _has_file(self, media: object, form: str) -> bool:
        """Whether a member of the form is a file, or a list of them. ``form``: one of `_FORMS`; URL-encoded ones hold
        none."""
        members = self._members(media)[0] if form == "multipart" else {}
        return any(self._as_file(self._schemas.flat(each, self._where)) is not None for each in members.values())

    def _member(self, member: object, where: str, *, files: bool) -> dict[str, Any] | None:
        """The schema of a member of a form; None: it is left out. ``files``: a member may be a file, or a list of
        them."""
        inner = self._schemas.flat(member, where)
        if files and (file := self._as_file(inner)) is not None:
            return file
        converted = self._schemas.converted(member, where)
        if converted is True:
            converted = {}
        return converted if kind(inner) != "object" and isinstance(converted, dict) else None

    def _as_file(self, schema: Mapping[str, Any]) -> dict[str, Any] | None:
        """What stands for a file in the input, or for a list of them; None: ``schema`` is another value."""
        said = {"description": str(schema["description"])} if schema.get("description") else {}
        found = None
        if self._is_file(schema):
            found = _file()
        elif kind(schema) == "array" and self._is_file(self._schemas.flat(schema.get("items"), self._where)):
            found = {"type": "array", "items": _file()}
        if found is not None and may_be_null(schema):
            found = {"type": [found["type"], "null"], "anyOf": [{"type": "null"}, found]}
        return None if found is None else said | found

    def _is_file(self, schema: Mapping[str, Any]) -> bool:
        """Whether it is bytes: those of OpenAPI 3.0 have a format, those of 3.1 a media type and no encoding as text
        (OpenAPI 3.1.0, Media Type Object, considerations for file uploads)."""
        if kind(schema) not in ("", "string"):
            return False
        if kind(schema) == "string" and schema.get("format") == "binary":
            return True
        return not self._source.old and "contentMediaType" in schema and "contentEncoding" not in schema


def _file() -> dict[str, Any]:
    """The schema of what stands for a file in the input."""
    return {
        "type": "object",
        "properties": {name: {"type": "string"} for name in ("text", "base64", "filename", "content_type")},
        "oneOf": [{"required": ["text"]}, {"required": ["base64"]}],
        "additionalProperties": False,
    }


def _entry(name: str, schema: Mapping[str, Any], description: str, *, required: bool) -> dict[str, Any]:
    """A parameter of an action. What its type and schema cannot say is in the schema of the whole input."""
    more = {key: value for key, value in schema.items() if key not in ("type", "description", "default", "enum")}
    entry: dict[str, Any] = {"name": name}
    one = kind(schema)
    given = schema.get("type")
    if one and one != "null":
        entry["type"] = one
    if given is None or not one or isinstance(given, list):
        more = {"type": given or list(ANY), **more}
    if required:
        entry["required"] = True
    text = " ".join(str(schema.get("description") or description).split())[:1000]
    if text:
        entry["description"] = text
    if isinstance(enum := schema.get("enum"), list) and enum:
        entry["enum"] = enum
    return entry | ({"schema": more} if more else {})


def _input_schema(parameters: list[dict[str, Any]], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of the whole input. Those of parameters move into it, because references are to its definitions."""
    properties: dict[str, Any] = {}
    for each in parameters:
        own = each.pop("schema", {})
        schema: dict[str, Any] = {"type": each.get("type", "string"), **own}
        if schema["type"] == list(ANY):
            del schema["type"]
        properties[each["name"]] = schema | {key: each[key] for key in ("description", "enum") if key in each}
    return {
        "type": "object",
        "properties": properties,
        "required": [each["name"] for each in parameters if each.get("required")],
        "additionalProperties": False,
        "$defs": dict(definitions),
    }
