"""What a token endpoint is sent, and what comes back: RFC 6749, 7009, 7523, 7636 and 8628, by oauthlib, without I/O."""

from __future__ import annotations

import re
import secrets
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, quote_plus, urlencode

from oauthlib.common import add_params_to_uri
from oauthlib.oauth2 import (
    BackendApplicationClient,
    DeviceClient,
    OAuth2Error,
    ServiceApplicationClient,
    WebApplicationClient,
)

from gateway.config.actions import OAuth
from gateway.core.grant import IssuedTokens
from gateway.grants.errors import ProviderAwayError, ProviderRefusedError

_WORD: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,16384}")
"""What a header field can carry."""
_LONGEST: Final = 16_384
_OTHER_TYPES: Final = frozenset(("mac", "dpop", "pop", "n_a"))
"""Types of tokens that Authorization: Bearer cannot carry."""
_AWAY: Final = frozenset(("temporarily_unavailable", "server_error"))
"""Errors that are over by themselves (RFC 6749 4.1.2.1)."""
_FORM: Final = "application/x-www-form-urlencoded"
_DEVICE_LIFE: Final = 1800.0


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A POST to an endpoint of a provider."""

    url: str
    body: str = field(repr=False)
    authorization: str = field(default="", repr=False)

    @property
    def headers(self) -> dict[str, str]:
        found = {"Content-Type": _FORM, "Accept": "application/json"}
        return found | {"Authorization": self.authorization} if self.authorization else found


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """What a person needs to agree on another device (RFC 8628 3.2). Times are seconds."""

    device_code: str = field(repr=False)
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in: float
    interval: float


def client_credentials(oauth: OAuth) -> TokenRequest:
    """RFC 6749 4.4.2."""
    client = BackendApplicationClient(oauth.client_id)
    return _request(oauth, client.prepare_request_body(include_client_id=False, **_scope(oauth)))


def refresh(oauth: OAuth, refresh_token: str) -> TokenRequest:
    """RFC 6749 6. The scope is that of the grant."""
    client = WebApplicationClient(oauth.client_id)
    return _request(oauth, client.prepare_refresh_body(refresh_token=refresh_token))


def code(oauth: OAuth, given: str, verifier: str) -> TokenRequest:
    """RFC 6749 4.1.3, with the verifier of RFC 7636 4.5."""
    client = WebApplicationClient(oauth.client_id)
    body = client.prepare_request_body(
        code=given, redirect_uri=oauth.redirect_uri, code_verifier=verifier, include_client_id=False
    )
    return _request(oauth, body)


def assertion(oauth: OAuth, signed: str) -> TokenRequest:
    """RFC 7523 2.1: a JWT in exchange for a token."""
    client = ServiceApplicationClient(oauth.client_id)
    body = urlencode({"grant_type": client.grant_type, "assertion": signed, **_scope(oauth)})
    return _request(oauth, body)


def device_start(oauth: OAuth) -> TokenRequest:
    """RFC 8628 3.1."""
    return _request(oauth, urlencode(_scope(oauth)), oauth.device_url)


def device_poll(oauth: OAuth, device_code: str) -> TokenRequest:
    """RFC 8628 3.4."""
    return _request(oauth, DeviceClient(oauth.client_id).prepare_request_body(device_code))


def revocation(oauth: OAuth, token: str, kind: str) -> TokenRequest:
    """RFC 7009 2.1. ``kind``: ``refresh_token`` or ``access_token``."""
    return _request(oauth, urlencode({"token": token, "token_type_hint": kind}), oauth.revoke_url)


def check_revoked(text: str) -> None:
    """Raises `ProviderRefusedError` for an error (RFC 7009 2.2.1). Any other response says that it is done."""
    import json

    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = dict(parse_qsl(text))  # a form, as of tokens; the body of a success means nothing
    if isinstance(found, dict) and found.get("error"):
        raise ProviderRefusedError(_word(found["error"]))


def new_verifier() -> str:
    """RFC 7636 4.1."""
    return secrets.token_urlsafe(64)[:96]


def authorize_url(oauth: OAuth, state: str, verifier: str) -> str:
    """Where a person agrees (RFC 6749 4.1.1), with a challenge of RFC 7636 4.3."""
    challenge = WebApplicationClient(oauth.client_id).create_code_challenge(verifier, "S256")
    parameters = {
        "response_type": "code",
        "client_id": oauth.client_id,
        "redirect_uri": oauth.redirect_uri,
        **_scope(oauth),
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        **oauth.authorize_params,
    }
    return str(add_params_to_uri(oauth.authorize_url, list(parameters.items())))


def tokens_in(text: str, oauth: OAuth, now: float) -> IssuedTokens:
    """The tokens of a response of a token endpoint; of JSON, or of a form, as a few providers send.

    Raises `ProviderRefusedError` for an error, whatever the status was, and `ProviderAwayError` for what is no
    response of a token endpoint.
    """
    try:
        found = WebApplicationClient(oauth.client_id).parse_request_body_response(text)
    except OAuth2Error as error:
        raise _refusal(error) from None
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError, OverflowError, Warning):
        raise _no_response() from None
    access, refresh_token = found.get("access_token"), found.get("refresh_token") or ""
    if not isinstance(access, str) or not _TOKEN.fullmatch(access):
        raise ProviderAwayError("the response of the identity provider has no token that a header field can carry")
    if not isinstance(refresh_token, str) or len(refresh_token) > _LONGEST:
        raise ProviderAwayError("the response of the identity provider has a refresh token that cannot be kept")
    if str(found.get("token_type", "")).lower() in _OTHER_TYPES:
        raise ProviderRefusedError("token_type", "the identity provider gives tokens of a type that is not Bearer")
    life = _seconds(found.get("expires_in")) or oauth.default_lifetime
    return IssuedTokens(access, refresh_token, now, now + life if life else 0.0)


def device_code_in(text: str, oauth: OAuth) -> DeviceCode:
    """RFC 8628 3.2. Raises as `tokens_in`."""
    import json

    try:
        found = json.loads(text)
        if "error" in found:
            raise ProviderRefusedError(_word(found["error"]))
        wanted = found["device_code"], found["user_code"], found.get("verification_uri") or found["verification_url"]
    except (ValueError, TypeError, LookupError, RecursionError, AttributeError):
        raise _no_response() from None
    if not all(isinstance(each, str) and 0 < len(each) <= 2000 for each in wanted):
        raise _no_response()
    complete = found.get("verification_uri_complete", "")
    return DeviceCode(
        *wanted,
        complete if isinstance(complete, str) else "",
        _seconds(found.get("expires_in")) or _DEVICE_LIFE,
        max(1.0, _seconds(found.get("interval")) or 5.0),
    )


def _request(oauth: OAuth, body: str, url: str = "") -> TokenRequest:
    """With the client's credentials, as the provider wants them (RFC 6749 2.3.1)."""
    own, authorization = dict(oauth.token_params), ""
    if oauth.client_auth == "basic":
        pair = f"{quote_plus(oauth.client_id)}:{quote_plus(oauth.client_secret)}"
        authorization = f"Basic {b64encode(pair.encode()).decode()}"
    elif oauth.client_id:
        own["client_id"] = oauth.client_id
        if oauth.client_auth == "body":
            own["client_secret"] = oauth.client_secret
    return TokenRequest(url or oauth.token_url, "&".join(filter(None, (body, urlencode(own)))), authorization)


def _scope(oauth: OAuth) -> dict[str, str]:
    return {"scope": oauth.scope_delimiter.join(oauth.scopes)} if oauth.scopes else {}


def _seconds(given: object) -> float:
    """0.0: it is no time. Several providers send a text."""
    try:
        found = float(given) if isinstance(given, str | int | float) and not isinstance(given, bool) else 0.0
    except ValueError:
        return 0.0
    return found if 0.0 < found < 1e10 else 0.0


def _word(error: object) -> str:
    return error if isinstance(error, str) and _WORD.fullmatch(error) else "an error that it does not name"


def _refusal(error: OAuth2Error) -> ProviderRefusedError | ProviderAwayError:
    if error.error == "missing_token":
        return _no_response()
    word = _word(error.error)
    if word in _AWAY:
        return ProviderAwayError(f"the identity provider cannot give a token now: {word}")
    return ProviderRefusedError(word)


def _no_response() -> ProviderAwayError:
    return ProviderAwayError(
        "the response of the identity provider is none of a token endpoint (RFC 6749 5); check its URL"
    )
