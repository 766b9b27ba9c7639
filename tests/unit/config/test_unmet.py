"""Rules that nobody can meet are named, and no others."""

from __future__ import annotations

import pytest

from gateway.config import unmet
from gateway.config.load import settings_in

JWT = "auth: {jwt: [{issuer: i, audience: [a], algorithms: [HS256], secret: '" + "s" * 32 + "'}]}\n"
DATABASE = "database: sqlite:///g.db\n"


@pytest.mark.parametrize(
    ("rule", "more", "expected"),
    [
        ("", "", "there are none: every request gets 401"),
        ("", JWT, "there are none: every request gets 401"),
        ("", DATABASE, ""),
        ("true", "", ""),
        ("false", "", ""),
        ("@request.auth.id != ''", "", "neither a database for tokens nor an issuer"),
        ("@request.auth.id != ''", JWT, ""),
        ("@request.auth.id != ''", DATABASE, ""),
        ("@request.method = 'GET'", "", ""),
    ],
)
def test_each_rule(rule: str, more: str, expected: str) -> None:
    for written, what in (
        (f'proxies: [{{name: a, path: /a, upstream: "http://h", access_rule: "{rule}"}}]', "proxy a:"),
        (f'mcp: [{{name: a, path: /a, access_rule: "{rule}"}}]', "front door a:"),
    ):
        told = list(unmet.remarks(settings_in(f"{more}{written}", "yaml", "f", {})))
        assert len(told) == bool(expected)
        assert all(expected in sentence and what in sentence for sentence in told)
