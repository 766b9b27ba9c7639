"""A scripted identity provider on real sockets, strict about refresh tokens: one that is used twice ends the grant."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable
from hashlib import sha256
from itertools import count
from typing import Self
from urllib.parse import parse_qs, unquote_plus, urlsplit

from harness.answers import answer, each_request
from harness.message import Message
from harness.upstream import Upstream

CLIENT, SECRET = "gateway", "client-s3cret-planted"
Play = bytes | Callable[[Message], bytes]


class IdentityProvider:
    """``plays``: responses of the token endpoint that come before the usual ones. ``lifetime``: of its tokens."""

    def __init__(self) -> None:
        self.upstream = Upstream(each_request(self._reply))
        self.plays: list[Play] = []
        self.lifetime: object = 3600
        self.asked: list[dict[str, str]] = []
        """The parameters of each request to the token endpoint."""
        self.revoked: list[str] = []
        self.not_revoked: set[str] = set()
        """Types of tokens that it does not revoke."""
        self.away = b""
        """The response of the token endpoint while the provider is away; empty: it is there."""
        self.user_agrees = False
        self.grant_ended = False
        self._numbers = count(1)
        self._refresh = ""
        self._codes: dict[str, str] = {}
        self.access: set[str] = set()
        """Tokens that a third party may take."""

    async def __aenter__(self) -> Self:
        await self.upstream.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.upstream.__aexit__(*error)

    @property
    def url(self) -> str:
        return self.upstream.url

    @property
    def issued(self) -> int:
        return len(self.access)

    def browse(self, url: str) -> dict[str, str]:
        """What the browser of a person who agrees brings back: the parameters of the redirect."""
        given = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert (given["response_type"], given["code_challenge_method"]) == ("code", "S256")
        code = f"code-{next(self._numbers)}-planted"
        self._codes[code] = given["code_challenge"]
        return {"state": given["state"], "code": code, "iss": self.url}

    def _reply(self, message: Message) -> bytes:
        path = message.target.partition(b"?")[0]
        given = {name: values[0] for name, values in parse_qs(message.body.decode()).items()}
        if path == b"/revoke":
            if not _is_client(message, given):
                return refused("invalid_client", 401)
            if given["token_type_hint"] in self.not_revoked:
                return refused("unsupported_token_type", 400)
            self.revoked.append(given["token_type_hint"])
            return answer()
        if path == b"/device":
            return _json(
                {
                    "device_code": "device-planted",
                    "user_code": "AB-CD",
                    "interval": 1,
                    "expires_in": 600,
                    "verification_uri": f"{self.url}/activate",
                }
            )
        self.asked.append(given)
        if self.away:
            return self.away
        if self.plays:
            play = self.plays.pop(0)
            return play if isinstance(play, bytes) else play(message)
        if not _is_client(message, given):
            return refused("invalid_client", 401)
        return self._grant(given)

    def _grant(self, given: dict[str, str]) -> bytes:
        match given["grant_type"]:
            case "client_credentials":
                return self._tokens(rotates=False)
            case "refresh_token":
                if given["refresh_token"] != self._refresh:
                    self.grant_ended = True
                if self.grant_ended:
                    return refused("invalid_grant")
                return self._tokens()
            case "authorization_code":
                challenge = self._codes.pop(given["code"], "")
                if challenge != _challenge(given["code_verifier"]):
                    self.grant_ended = True
                    return refused("invalid_grant")
                self.grant_ended = False
                return self._tokens()
            case "urn:ietf:params:oauth:grant-type:device_code":
                if not self.user_agrees:
                    return refused("authorization_pending")
                self.grant_ended = False
                return self._tokens()
        return refused("unsupported_grant_type")

    def _tokens(self, *, rotates: bool = True) -> bytes:
        number = next(self._numbers)
        access = f"access-{number}-planted"
        self.access.add(access)
        body: dict[str, object] = {"access_token": access, "token_type": "Bearer"}
        if self.lifetime is not None:
            body["expires_in"] = self.lifetime
        if rotates:
            self._refresh = body["refresh_token"] = f"refresh-{number}-planted"
        return _json(body)


def refused(error: str, status: int = 400) -> bytes:
    """An error of RFC 6749 5.2."""
    return _json({"error": error, "error_description": "description-planted"}, status)


def _json(body: object, status: int = 200) -> bytes:
    return answer(json.dumps(body).encode(), "Content-Type: application/json", status=status)


def _is_client(message: Message, given: dict[str, str]) -> bool:
    sent = message.get("authorization")
    if sent is not None:
        pair = b64decode(sent.removeprefix(b"Basic ")).decode()
        return [unquote_plus(each) for each in pair.split(":")] == [CLIENT, SECRET]
    return (given.get("client_id"), given.get("client_secret")) == (CLIENT, SECRET)


def _challenge(verifier: str) -> str:
    from base64 import urlsafe_b64encode

    return urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
