"""Spellings of paths: none of them reaches what its canonical form does not reach."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from hypothesis import example, given
from hypothesis import strategies as st
from unit.scene import Nobody

from gateway.config import records
from gateway.core.exchange import Exchange
from gateway.core.limits import Limits
from gateway.core.path import canonical, forms, readings
from gateway.errors import GatewayError
from gateway.identity.access import identify
from gateway.identity.authenticator import Authenticator
from gateway.proxy.router import Route, Router
from gateway.wire.h1.head import HeadParser

PATHS = ("/", "/admin", "/admin/deep", "/a/b", "/-/x", "/caf%C3%A9")
RULES = ("true", "@request.path = '/admin/x'", "@request.path != '/a/b/c' && @request.path != '/a/b/admin'")
PARSER, LIMITS = HeadParser(), Limits()

PIECES = """
    / / / / / / // admin deep a b c x - caf%C3%A9 .. . ... %2e %2E%2e %252e %2f %252F %5c \\ ; ;p=1 %3b %61 %2561
    %2564min % %zz %00 ..; %25 ?
"""
pieces = st.sampled_from(PIECES.split())
targets = st.lists(pieces, min_size=1, max_size=9).map(lambda parts: "/" + "".join(parts))


async def _served(_: Exchange) -> None: ...


def outcome(target: str, paths: tuple[str, ...], rule: str) -> str:
    """The route with the verdict of its rule, or the code of the refusal; what `Server` and the chain do."""
    head = PARSER.request(b"GET " + target.encode("latin-1") + b" HTTP/1.1\r\nHost: h", LIMITS)
    reached: list[str] = []

    async def inside(_: Exchange) -> None: ...

    router = Router(Route(path.rstrip("/").encode(), (), inside) for path in paths)
    try:
        route = router.match(b"h", head.target.partition(b"?")[0])
        if route is None:
            return "no_route"
        reached.append(route.path.decode())
        identify(Authenticator())(records.Route("p", "/", "p", access_rule=rule))(inside)(
            Exchange(Nobody(), head, 0.0)
        ).close()  # type: ignore[attr-defined]
    except GatewayError as error:
        return f"{reached} {error.reason.code}" if error.reason.code != "bad_request" else "bad_request"
    return f"{reached} in"


def spelt_plainly(path: bytes) -> str:
    """A target for a path that holds any byte: what is left to be escaped is escaped again."""
    return "".join(chr(byte) if 0x21 <= byte < 0x7F and byte not in b"#?%;\\" else f"%{byte:02X}" for byte in path)


@given(targets, st.sets(st.sampled_from(PATHS), min_size=1).map(lambda s: tuple(sorted(s))), st.sampled_from(RULES))
def test_a_spelling_gets_what_its_canonical_form_gets_or_400(target: str, paths: tuple[str, ...], rule: str) -> None:
    got = outcome(target, paths, rule)
    if got in ("bad_request", "no_route"):
        return
    path = target.partition("?")[0].encode("latin-1")
    assert outcome(spelt_plainly(canonical(path)), paths, rule) in (got, "bad_request")
    for form in forms(path):
        # Whatever a back end makes of it, it is the same route, and the rule says the same of it.
        assert outcome(spelt_plainly(form), paths, rule) in (got, "bad_request")


@given(targets)
def test_the_canonical_form_is_canonical(target: str) -> None:
    form = canonical(target.partition("?")[0].encode("latin-1"))
    assert form.startswith(b"/")
    assert canonical(form) == form


ESCAPES = "% %% 2 5 25 %25 %2 %32 3 %33 4 41 %41 e E F g / a %2e %2F %5c %3b %zz %00 %fF"
escapes = st.lists(st.sampled_from(ESCAPES.split()))


def by_the_book(text: bytes) -> list[list[bytes]]:
    """What `readings` makes of a path without parameters and plain dots, with the decoder of the standard library."""
    for _ in range(16):
        once = unquote_to_bytes(re.sub(rb"%(?:25)+", b"%", text))
        if once == text:
            parts = [part.partition(b";")[0] for part in text.replace(b"\\", b"/").split(b"/")]
            return [[part for part in parts if part not in (b"", b".")]]
        text = once
    return []


@given(escapes.map(lambda parts: "/" + "".join(parts)))
@example("/" + "%" * 15 + "3" * 14 + "61")
@example("/" + "%" * 16 + "3" * 15 + "61")
@example("/" + "%" * 17 + "3" * 16 + "61")
@example("/%" + "2%35" * 20 + "41")
def test_escapes_are_decoded_as_the_standard_library_does(path: str) -> None:
    assert readings(path.encode()) == by_the_book(path.encode())
