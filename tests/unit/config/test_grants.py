from dataclasses import replace

from gateway.config import load
from gateway.config.actions import OAuth
from gateway.config.grants import Grant, grants_of, without_grants
from gateway.config.records import Document

FILE = """
listen: 127.0.0.1:0
connections:
  plain: {base_url: "https://h"}
  shop:
    base_url: "https://API.example.org/v1"
    auth: {type: oauth2_client_credentials, token_url: "https://idp/t", client_id: c, client_secret: s3cret}
"""
TRN = "trn:openact:default:connection/http/shop@v1"


def document() -> Document:
    return load.parse(FILE, "yaml", "gateway.yaml", {})


def test_the_connections_with_tokens_are_found() -> None:
    found = grants_of(document().connections)
    assert found.keys() == {TRN}
    grant = found[TRN]
    assert (grant.label, grant.audience, grant.interactive) == ("connection/shop", "https://api.example.org", False)
    assert grant.oauth.client_secret == "s3cret"
    assert "s3cret" not in repr(grant)


def test_a_worker_gets_no_client_secret() -> None:
    whole = document()
    given = without_grants(whole)
    assert [each.auth.oauth for each in given.connections] == [None, None]
    assert [each.auth.kind for each in given.connections] == ["none", "oauth2_client_credentials"]
    assert "s3cret" in str(whole.connections[1].auth.oauth and whole.connections[1].auth.oauth.client_secret)
    plain = replace(whole, connections=whole.connections[:1], actions=(), calls=())
    assert without_grants(plain) is plain


def test_a_token_is_bound_to_client_provider_and_destination() -> None:
    oauth = OAuth("https://idp/t", "c", scopes=("a", "b"))
    grant = Grant(TRN, "connection/shop", "oauth2_client_credentials", oauth, "https://h")
    same = replace(grant, oauth=replace(oauth, scopes=("b", "a"), client_secret="new", default_lifetime=1.0))
    assert grant.binding == same.binding
    others = [
        replace(grant, audience="https://other"),
        replace(grant, kind="oauth2_device"),
        replace(grant, oauth=replace(oauth, token_url="https://other/t")),
        replace(grant, oauth=replace(oauth, client_id="other")),
        replace(grant, oauth=replace(oauth, scopes=("a",))),
        replace(grant, oauth=replace(oauth, revoke_url="https://other/revoke")),  # it is sent the refresh token
    ]
    assert len({each.binding for each in (grant, *others)}) == 7
    assert replace(grant, oauth=replace(oauth, revoke_url="https://IDP:443/revoke?a=b")).binding == grant.binding
    robot = replace(grant, oauth=OAuth("", issuer="robot", subject="ann"))
    assert robot.binding != replace(robot, oauth=OAuth("", issuer="robot", subject="bob")).binding
