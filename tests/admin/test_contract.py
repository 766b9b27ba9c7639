"""The OpenAPI document against the running API, by schemathesis: what it says is what is answered."""

from __future__ import annotations

import asyncio
import warnings
from typing import Any

import pytest
from admin.conftest import Api
from admin.test_actions import responds

from gateway.api.openapi import document
from gateway.api.table import ROUTES


def references(node: object) -> set[str]:
    """Every ``$ref`` below ``node``."""
    if isinstance(node, list):
        return {found for child in node for found in references(child)}
    if not isinstance(node, dict):
        return set()
    own = {str(node["$ref"])} if "$ref" in node else set()
    return own.union(*(references(child) for child in node.values()))


def test_every_reference_of_the_document_leads_somewhere() -> None:
    described = document(ROUTES)
    found = {reference.removeprefix("#/components/schemas/") for reference in references(described)}
    assert found
    assert found <= described["components"]["schemas"].keys()


@pytest.mark.timeout(120)
async def test_the_api_is_what_its_document_says(api: Api) -> None:
    await api.call("POST", "/proxies", {"name": "x", "path": "/x", "upstream": "http://h"})
    await api.call("PUT", "/secrets/x", {"value": "value"})
    # With raw=true a response is what the third party sends: text here, so that it is not taken for JSON of ours.
    api.plane.ending = responds(b"plain", [("Content-Type", "text/plain")])
    document = (await api.call("GET", "/openapi.json")).body
    await asyncio.to_thread(_check, document, api.base, api.token)


def _check(document: dict[str, Any], base: str, token: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import hypothesis
        import schemathesis
        from schemathesis.checks import not_a_server_error
        from schemathesis.specs.openapi import checks as openapi

        checks = [
            not_a_server_error,
            openapi.status_code_conformance,
            openapi.content_type_conformance,
            openapi.response_schema_conformance,
            openapi.response_headers_conformance,
            openapi.ignored_auth,
        ]
        schema = schemathesis.openapi.from_dict(document)
        checked = 0
        for found in schema.get_all_operations():
            operation = found.ok()
            # A login that fails slows the next ones down, and a logout would end this test; a live view has no end.
            if operation.path.startswith(("/api/gateway/auth/", "/api/gateway/live")):
                continue

            @hypothesis.settings(
                max_examples=12,
                deadline=None,
                derandomize=True,
                database=None,
                suppress_health_check=list(hypothesis.HealthCheck),
            )
            @hypothesis.given(case=operation.as_strategy())
            def conforms(case: Any) -> None:
                headers = {"Authorization": f"Bearer {token}"}
                case.call_and_validate(base_url=base, headers=headers, checks=checks, timeout=10)

            conforms()
            checked += 1
        assert checked >= 20
