"""Which actions may be called at all: the governance of the gateway, for all surfaces in one place."""

from __future__ import annotations

import re
from typing import Final

from gateway.actions.errors import InvalidCallError
from gateway.config.actions import Governance
from gateway.core import trn

FORBIDDEN: Final = "forbidden.action"


def allowed(governance: Governance, name: str) -> bool:
    """Whether calls of the action or connection with the TRN ``name`` are allowed. A denial wins."""
    return _matches(governance.allow, name) and not _matches(governance.deny, name)


def forbidden(name: str) -> InvalidCallError:
    """The error for a call of ``name``, which is not allowed."""
    message = f"{trn.parse(name).name} may not be called here: `governance` of the configuration forbids it"
    return InvalidCallError(message, code=FORBIDDEN)


def _matches(patterns: tuple[str, ...], name: str) -> bool:
    own = trn.parse(name)
    # A connection is called as a whole, so that no pattern for actions can mean it.
    short = f"{own.connector}.{own.name}" if own.kind == "action" else f"{own.connector}.connection/{own.name}"
    forms = {True: (str(own), str(own._replace(version=0))), False: (short,)}
    return any(
        _compiled(pattern).fullmatch(form) is not None
        for pattern in patterns
        for form in forms[pattern.startswith("trn:")]
    )


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))))
