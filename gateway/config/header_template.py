"""The header fields that a proxy adds to a request: their names, and the templates of their values.

A template is text with references in it: ``{env.NAME}`` to a variable of the environment, ``{secret.NAME}`` to the
store of secrets, ``@request.auth.NAME`` to a claim of the authenticated caller. The value of a reference is never
searched for references again, and neither is what ``${VAR}`` of the file inserts: `quoted` writes it so that a template
reads it as text, with ``{char.brace}`` for a brace and ``{char.at}`` for an at sign that could begin a reference.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field

from gateway.config import values
from gateway.config.records import AuthField, Missing, Part

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 5.6.2
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # RFC 9110 5.5: what no field value may hold; a tab is allowed
# RFC 9110 7.6.1: fields of one connection; RFC 9112 6: fields that frame the message
_OF_THE_CONNECTION = frozenset(
    (
        *("connection", "expect", "keep-alive", "proxy-connection", "te", "trailer", "upgrade"),
        *("content-length", "transfer-encoding"),
    )
)
_NAME = r"[a-zA-Z_][a-zA-Z0-9_]*"
_REFERENCE = re.compile(rf"\{{(env|secret|char)\.({_NAME})\}}|@request\.auth\.({_NAME}(?:\.{_NAME})*)")
_CHARACTERS = {"brace": "{", "at": "@"}
# Also what the text behind it in the file could complete.
_COULD_BEGIN = re.compile(r"\{(?=\w*(?:\.|\Z))|@(?=request\.|r?e?q?u?e?s?t?\Z)")
_UNKNOWN = re.compile(r"\{[A-Za-z_]\w*\.[^{}]*\}|@request\.|\{(?:env|secret)\.")
_CREDENTIAL = re.compile(r"auth|cookie|key|passw|secret|token", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Context:
    """What the references of templates may name.

    ``secrets`` None: there is no store of secrets. ``listed``: the variables that records of the database may name;
    None: the template stands in the file, which may name all but the gateway's own. ``lenient``: the template
    was checked when it was saved, so what its references name may have vanished or may no longer be listed.
    """

    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: Container[str] | None = None
    listed: Container[str] | None = None
    lenient: bool = False


class AnySecret:
    """Every key: while a file is read, the store is not open yet. What is missing then is reported later."""

    def __contains__(self, key: object) -> bool:
        return True


def name(text: str) -> str:
    """Raises ValueError for an invalid field name, and for fields that the gateway itself must set."""
    if not _TOKEN.fullmatch(text):
        raise ValueError("is not the name of a header field; use letters, digits and - alone (RFC 9110 5.6.2)")
    if text.lower() == "host":
        raise ValueError("the gateway sets Host itself; use preserve_host to send the caller's, and remove this field")
    if text.lower() in _OF_THE_CONNECTION:
        raise ValueError("this field belongs to the connection and the gateway sets it; remove it")
    return text


def is_credential(name: str) -> bool:
    """Whether the field of this name most likely carries a credential."""
    return bool(_CREDENTIAL.search(name))


def is_secret(name: str, text: str) -> bool:
    """Whether the value may be one that hops on the way should not read; in doubt, yes."""
    return bool(references(text)) or (bool(text) and is_credential(name))


def template(text: str, context: Context) -> str:
    """The text as written, checked: every reference is of a known kind and names something that exists.

    Raises ValueError, also for what no field value may hold.
    """
    rest = _REFERENCE.sub(" ", text)
    if _UNKNOWN.search(rest):
        raise ValueError(
            "holds an unknown template; there are {env.NAME}, {secret.NAME} and @request.auth.NAME, with names of "
            "letters, digits and _; a brace that begins none is {char.brace}"
        )
    for match in () if context.lenient else _REFERENCE.finditer(text):
        kind, key, _ = match.groups()
        if kind == "env":
            _check_variable(key, context)
        if kind == "char" and key not in _CHARACTERS:
            raise ValueError(f"there is no character {key}; there are {{char.brace}} and {{char.at}}")
        if kind == "secret" and context.secrets is None:
            raise ValueError("{secret.NAME} needs a database; set `database`, or use {env.NAME}")
        if kind == "secret" and context.secrets is not None and key not in context.secrets:
            raise ValueError(f"there is no secret {key} for {{secret.{key}}}; store it first")
    for part in resolve(text, context.env, {}):
        if isinstance(part, str):
            _check_value(part)
    return text


def _check_variable(key: str, context: Context) -> None:
    if key.startswith(values.OWN_VARIABLES):
        raise ValueError(f"{{env.{key}}} is a variable of the gateway's own, which no template reads; remove it")
    if context.listed is not None and key not in context.listed:
        raise ValueError(
            f"a proxy of the database may not name {{env.{key}}}; add {key} to template_env in the configuration file, "
            "or store the value as a secret and write {secret.NAME}"
        )
    if key not in context.env:
        raise ValueError(f"the variable {key} of {{env.{key}}} is not set; set it in the gateway's environment")


def readable(env: Mapping[str, str], listed: Container[str] | None = None) -> dict[str, str]:
    """The part of ``env`` that templates read. ``listed``: as in `Context`."""
    return {
        key: value
        for key, value in env.items()
        if not key.startswith(values.OWN_VARIABLES) and (listed is None or key in listed)
    }


def is_template(text: str) -> bool:
    return any(kind != "char" for kind, _, _ in _REFERENCE.findall(text))


def quoted(text: str) -> str:
    """A template that stands for ``text`` alone, wherever it is put into another one."""
    return _COULD_BEGIN.sub(lambda match: "{char.brace}" if match[0] == "{" else "{char.at}", text)


def literal(text: str) -> str:
    """The text of a template besides its references."""
    return _REFERENCE.sub("", text)


def references(text: str) -> set[str]:
    """The references to variables and secrets in a template, as in ``{"env.A", "secret.B"}``."""
    return {f"{kind}.{key}" for kind, key, _ in _REFERENCE.findall(text) if kind in ("env", "secret")}


def resolve(text: str, env: Mapping[str, str], secrets: Mapping[str, str]) -> tuple[Part, ...]:
    """The parts to send, without blanks at the ends; () means that the field is left out.

    What is not set, or could not be sent, becomes a `Missing`.
    """
    parts: list[Part] = []
    position = 0
    for match in _REFERENCE.finditer(text):
        parts.append(text[position : match.start()])
        kind, key, claim = match.groups()
        if kind == "char":
            parts.append(_CHARACTERS.get(key, ""))
        else:
            parts.append(AuthField(claim) if claim else _looked_up(kind, key, env if kind == "env" else secrets))
        position = match.end()
    parts.append(text[position:])
    joined: list[Part] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        elif part != "":
            joined.append(part)
    if joined and isinstance(joined[0], str):
        joined[0] = joined[0].lstrip(" \t")
    if joined and isinstance(joined[-1], str):
        joined[-1] = joined[-1].rstrip(" \t")
    return tuple(part for part in joined if part != "")


def _looked_up(kind: str, key: str, values: Mapping[str, str]) -> str | Missing:
    value = values.get(key)
    try:
        if value is not None:
            _check_value(value)
    except ValueError:
        if kind == "env":
            return value or ""  # reported by the check, where the sentence can name it
        value = None
    return Missing(f"{kind}.{key}") if value is None else value


def _check_value(text: str) -> None:
    if _CONTROL.search(text):
        raise ValueError("holds a line break or another control character; remove it, also from the variables in it")
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError("holds a character outside Latin-1, which no header can carry; write it in ASCII") from None
