"""AWS Signature Version 4, as its "Create a signed AWS API request" describes it, and as botocore computes it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

_ALGORITHM: Final = "AWS4-HMAC-SHA256"


def signed(
    method: str,
    host: str,
    path: str,
    query: Iterable[tuple[str, str]],
    headers: Sequence[tuple[str, str]],
    body: bytes,
    *,
    key: tuple[str, str],
    session: str,
    region: str,
    service: str,
    now: float,
) -> list[tuple[str, str]]:
    """The fields that sign the request, to be sent with it: X-Amz-Date, Authorization, and what goes with them.

    ``path`` and ``query``: percent-encoded path, decoded parameters. ``headers``: those that are signed besides Host.
    ``key``: id and secret. ``now``: seconds of the epoch.
    """
    at = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(body).hexdigest()
    added = [("X-Amz-Date", at)]
    if service == "s3":
        added.append(("X-Amz-Content-SHA256", digest))
    if session:
        added.append(("X-Amz-Security-Token", session))
    fields: dict[str, list[str]] = {"host": [host]}
    for name, value in (*headers, *added):
        fields.setdefault(name.lower(), []).append(" ".join(value.split()))
    names = sorted(fields)
    pairs = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in query)
    canonical = "\n".join(
        (
            method,
            path if service == "s3" else quote(_normal(path), safe="/-_.~"),
            "&".join(f"{name}={value}" for name, value in pairs),
            *(f"{name}:{','.join(fields[name])}" for name in names),
            "",
            ";".join(names),
            digest,
        )
    )
    scope = f"{at[:8]}/{region}/{service}/aws4_request"
    to_sign = "\n".join((_ALGORITHM, at, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    secret = f"AWS4{key[1]}".encode()
    for part in (at[:8], region, service, "aws4_request"):
        secret = hmac.digest(secret, part.encode(), "sha256")
    signature = hmac.new(secret, to_sign.encode(), "sha256").hexdigest()
    credential = f"Credential={key[0]}/{scope}, SignedHeaders={';'.join(names)}, Signature={signature}"
    return [*added, ("Authorization", f"{_ALGORITHM} {credential}")]


def _normal(path: str) -> str:
    """Without empty segments: all services but S3 read a path so. Segments of dots never come here."""
    inner = "/".join(segment for segment in path.split("/") if segment)
    return f"/{inner}/" if inner and path.endswith("/") else f"/{inner}"
