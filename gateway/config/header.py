"""The header fields that a proxy adds to a request: their names, their values, the ``{env.NAME}`` in them."""

from __future__ import annotations

import re
from collections.abc import Mapping

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 5.6.2
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # RFC 9110 5.5: what no field value may hold; a tab it may
# RFC 9110 7.6.1: fields of one connection; RFC 9112 6: fields that frame the message
_OF_THE_CONNECTION = frozenset(
    (
        *("connection", "expect", "keep-alive", "proxy-connection", "te", "trailer", "upgrade"),
        *("content-length", "transfer-encoding"),
    )
)
_TEMPLATE = re.compile(r"\{env\.([a-zA-Z_][a-zA-Z0-9_]*)\}")
_OTHER_TEMPLATE = re.compile(r"\{[A-Za-z_]\w*\.[^{}]*\}|@request\.")


def name(text: str) -> str:
    """Raises ValueError for what is no field name, and for fields that the gateway itself must decide."""
    if not _TOKEN.fullmatch(text):
        raise ValueError("is no name of a header field; use letters, digits and - alone (RFC 9110 5.6.2)")
    if text.lower() == "host":
        raise ValueError("the gateway sets Host itself; use preserve_host to send the caller's, and remove this field")
    if text.lower() in _OF_THE_CONNECTION:
        raise ValueError("this field belongs to the connection and the gateway sets it; remove it")
    return text


def value(text: str, env: Mapping[str, str]) -> str:
    """The text to send, without blanks at its ends; "" means that the field is left out.

    Raises ValueError for an unknown variable or template and for what no field value may hold.
    """
    _check_templates(_TEMPLATE.sub("", text), text)
    sent = _TEMPLATE.sub(lambda match: _variable(match[1], env), text).strip(" \t")
    if _CONTROL.search(sent):
        raise ValueError("holds a line break or another control character; remove it, also from the variables in it")
    try:
        sent.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError("holds a character outside Latin-1, which no header can carry; write it in ASCII") from None
    return sent


def _variable(name: str, env: Mapping[str, str]) -> str:
    if name not in env:
        raise ValueError(f"the variable {name} of {{env.{name}}} is not set; set it in the gateway's environment")
    return env[name]


def _check_templates(rest: str, text: str) -> None:
    if "{secret." in text:
        raise ValueError("{secret.NAME} does not exist yet; use {env.NAME} with a variable of the environment")
    if "@request." in text:
        raise ValueError("@request templates do not exist yet; remove them, {env.NAME} is the only template")
    if "{env." in rest or _OTHER_TEMPLATE.search(rest):
        raise ValueError("holds an unknown template; {env.NAME} with a name of letters, digits and _ is the only one")
