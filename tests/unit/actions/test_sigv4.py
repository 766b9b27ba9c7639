"""The vectors of AWS's own test suite for Signature Version 4; tests/property compares with botocore."""

import pytest

from gateway.actions.sigv4 import signed

KEY = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")


def signature(method: str, path: str, query: list[tuple[str, str]], headers: list[tuple[str, str]], body: bytes) -> str:
    found = dict(
        signed(
            method,
            "example.amazonaws.com",
            path,
            query,
            headers,
            body,
            key=KEY,
            session="",
            region="us-east-1",
            service="service",
            now=1440938160.0,
        )
    )
    assert found["X-Amz-Date"] == "20150830T123600Z"
    return found["Authorization"].rpartition("Signature=")[2]


@pytest.mark.covers("ACT-44")
@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("GET", "/", [], "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST", "/", [], "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        (
            "GET",
            "/",
            [("Param2", "value2"), ("Param1", "value1")],
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        ("GET", "//", [], "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ],
    ids=["get-vanilla", "post-vanilla", "get-vanilla-query-order-key-case", "get-slash"],
)
def test_vectors_of_aws(method: str, path: str, query: list[tuple[str, str]], expected: str) -> None:
    assert signature(method, path, query, [], b"") == expected


def test_all_that_is_signed_changes_the_signature() -> None:
    content = [("Content-Type", "text/plain")]
    requests = [
        ("GET", "/", [("a", "1")], content, b""),
        ("GET", "/a", [("a", "1")], content, b""),
        ("GET", "/", [("a", "2")], content, b""),
        ("GET", "/", [("a", "1")], [], b""),
        ("GET", "/", [("a", "1")], content, b"x"),
        ("PUT", "/", [("a", "1")], content, b""),
    ]
    assert len({signature(*request) for request in requests}) == len(requests)
