"""Which actions may be called at all, in the file."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from gateway.config import actions as records
from gateway.config.schema.call_policy import Milliseconds
from gateway.config.schema.section import Section
from gateway.config.schema.types import Listed

_GOVERNANCE = records.Governance()
_PATTERN = re.compile(r"trn:[!-~]{1,400}|[A-Za-z0-9_.*/-]{1,200}")


def _patterns(given: tuple[str, ...]) -> tuple[str, ...]:
    for pattern in given:
        if not _PATTERN.fullmatch(pattern):
            raise ValueError("is no pattern; write a name as in http.get-*, *, or a TRN with *")
        if not pattern.startswith("trn:") and pattern != "*" and "." not in pattern:
            raise ValueError(f"{pattern} has no connector; write http.{pattern}, or *.{pattern} for all connectors")
    return given


Patterns = Annotated[Listed[str], AfterValidator(_patterns)]


class Governance(Section):
    """Which actions may be called, and how many at once: over the API, the command line and every other surface."""

    allow: Patterns = Field(default=_GOVERNANCE.allow, examples=[["http.get-*", "trn:openact:acme:*"]])
    """Patterns of `CONNECTOR.ACTION`, or of TRNs, with `*`. Calls of all others get 403. A call without a stored action
    is `CONNECTOR.connection/NAME`."""
    deny: Patterns = Field(default=_GOVERNANCE.deny, examples=[["*.delete-*"]])
    """As `allow`, and wins over it."""
    max_concurrent: int = Field(default=0, ge=0, le=100_000, examples=[10])
    """Most calls at the same time over the API and at front doors for MCP together, over all workers; more get 429
    `concurrency_limit`. `0`: no limit besides those of their connections."""
    timeout_ms: Milliseconds | None = Field(default=None, ge=1, le=3_600_000, examples=[30000])
    """No call takes longer, whatever its action and its caller say; `null`: no such limit."""

    def record(self) -> records.Governance:
        return records.Governance(self.allow, self.deny, self.max_concurrent, (self.timeout_ms or 0) / 1000)
