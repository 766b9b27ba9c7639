"""Signature Version 4: equal to what botocore computes."""

from __future__ import annotations

from datetime import UTC, datetime
from unittest import mock
from urllib.parse import quote, urlencode

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.actions.sigv4 import signed

NOW = 1440938160.0
segments = st.text(st.characters(blacklist_categories=("Cs",)), max_size=6).filter(lambda text: text not in (".", ".."))
paths = st.lists(segments, max_size=4).map(lambda found: "/" + "/".join(quote(each, safe="") for each in found))
texts = st.text(st.characters(blacklist_categories=("Cs",)), max_size=8)
queries = st.lists(st.tuples(texts, texts), max_size=4)
fields = st.dictionaries(
    st.sampled_from(["Content-Type", "X-Amz-Meta-A", "X-Amz-Target"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12),
    max_size=3,
)


@pytest.mark.covers("ACT-44")
@settings(max_examples=1000)
@given(
    st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    st.sampled_from(["example.amazonaws.com", "h:8080"]),
    paths,
    queries,
    fields,
    st.binary(max_size=32),
    st.sampled_from(["execute-api", "s3"]),
    st.sampled_from(["", "a/token+="]),
)
def test_it_is_equal_to_botocore(
    method: str,
    host: str,
    path: str,
    query: list[tuple[str, str]],
    headers: dict[str, str],
    body: bytes,
    service: str,
    session: str,
) -> None:
    url = f"https://{host}{path}" + (f"?{urlencode(query, quote_via=quote)}" if query else "")
    request = AWSRequest(method=method, url=url, data=body, headers={**headers, "Host": host})
    signer = (S3SigV4Auth if service == "s3" else SigV4Auth)(
        Credentials("AKIDEXAMPLE", "s/ecret", session or None), service, "eu-central-1"
    )
    at = datetime.fromtimestamp(NOW, UTC)
    with mock.patch("botocore.auth.get_current_datetime", return_value=at):
        signer.add_auth(request)
    found = signed(
        method,
        host,
        path,
        query,
        list(headers.items()),
        body,
        key=("AKIDEXAMPLE", "s/ecret"),
        session=session,
        region="eu-central-1",
        service=service,
        now=NOW,
    )
    for name, value in found:
        assert request.headers[name] == value, name
