"""Texts of a configuration that is made by a program: values, and references to variables."""

from __future__ import annotations


class Reference(str):
    """A text with ``${VAR}`` that stays one where a configuration is written; a dollar of other texts is escaped."""

    __slots__ = ()
