"""What an opaque token of the gateway looks like."""

from __future__ import annotations

TOKEN_PREFIX = "bwt_"  # noqa: S105 - not a token: what every token begins with
