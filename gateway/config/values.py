"""The single values of the contract: each function takes text, gives the checked value or raises ValueError.

The sentence of the error says what is wrong and how to fix it; it never quotes the value, which may be a secret.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import unquote, urlsplit

from gateway.core.address import Address, UnixSocket, bracketed

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_UPSTREAM_NAME = re.compile(r"(?:connection/(?:[A-Za-z0-9_.-]{1,64}/)?)?[A-Za-z0-9_.-]{1,64}")
# RFC 1123 2.1, and the underscore that container networks use in names
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*")
# What inet_aton(3) reads as a number: such a host is an IPv4 address in another spelling, and no name.
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_ZONE = re.compile(r"(?:%25|%)[A-Za-z0-9._~-]{1,15}")  # RFC 6874 2; Linux has no longer names of interfaces
_PSEUDONYM = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}")  # RFC 9110 7.6.3: a token
_SCHEME = re.compile(r"[a-z][a-z0-9+.\-]*")  # RFC 3986 3.1
_PORT = re.compile(r"[0-9]{1,5}")
# RFC 3986 3.3: pchar and "/"
_PATH = re.compile(r"/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*")
_PATH_LENGTH = 500
_UNIX_PATH_LENGTH = 107  # unix(7): sun_path has 108 bytes, the last of them 0
_TOKEN = _PSEUDONYM  # RFC 9110 5.6.2, and as long as such names are
_STATUS = re.compile(r"([1-5][0-9]{2})(?:\s*-\s*([1-5][0-9]{2}))?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}")
OWN_VARIABLES = "GATEWAY_"
"""The prefix of the gateway's own environment variables. Some are secrets, so no template reads them."""
_RESERVED = ("/api/gateway", "/_")
_DOTS = (".", "..")  # RFC 3986 5.2.4: clients remove them from the path of a URL, so that no route finds such a name


def proxy_name(text: str) -> str:
    """1 to 64 letters, digits, ``_``, ``.`` and ``-``."""
    if not _NAME.fullmatch(text) or text == "-":  # which stands for "no proxy" in metrics
        raise ValueError("must be 1 to 64 letters, digits, `_`, `.` or `-`; choose such a name")
    if text in _DOTS:
        raise ValueError("must not be `.` or `..`, which no URL can have as a name; choose another name")
    return text


def _is_host(text: str) -> bool:
    """A host name or an IP address without brackets; what looks like a broken IPv4 address is no name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return bool(_HOST_NAME.fullmatch(text)) and not _NUMBER.fullmatch(text.rpartition(".")[2])
    return True


def _ipv6(text: str) -> str:
    """The canonical form of an IPv6 address (RFC 5952), "" for all else."""
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError:
        return ""


def address(text: str) -> Address:
    """``host:port`` or ``[ipv6]:port``. Port 0 takes any free port."""
    host, colon, port = text.rpartition(":")
    if not colon or not _PORT.fullmatch(port):
        raise ValueError("must be host:port; write 127.0.0.1:8080, or 0.0.0.0:8080 for every IPv4 interface")
    if int(port) > 65535:
        raise ValueError("the port is above 65535; choose one from 1 to 65535, or 0 for any free port")
    if host.startswith("[") and host.endswith("]") and _ipv6(host[1:-1]):
        return Address(host[1:-1], int(port))
    if not host:
        raise ValueError("the host is missing; write 0.0.0.0 before the colon for every IPv4 interface, [::] for IPv6")
    if ":" in host or not _is_host(host):
        raise ValueError("the host is neither a name nor an IP address; write an IPv6 address in brackets: [::1]:8080")
    return Address(host, int(port))


def listen_address(text: str) -> str:
    """The text of an `address`, checked."""
    address(text)
    return text


def unix_socket(text: str) -> UnixSocket:
    """``unix:/path``."""
    path = text.removeprefix("unix:")
    if path == text or not path.startswith("/") or path.startswith("//") or path.endswith("/"):
        raise ValueError("must be unix: and an absolute path; write unix:/run/gateway/admin.sock")
    if not path.isprintable():
        raise ValueError("the path holds a character that cannot be printed; choose another path")
    if len(path.encode()) > _UNIX_PATH_LENGTH:
        raise ValueError(f"the path has more than {_UNIX_PATH_LENGTH} bytes; choose a shorter one")
    return UnixSocket(path)


def admin_address(text: str) -> Address | UnixSocket:
    """An `address` or a `unix_socket`."""
    return unix_socket(text) if text.startswith("unix:") else address(text)


def admin_listen(text: str) -> str:
    """The text of an `admin_address`, checked."""
    admin_address(text)
    return text


def route_path(text: str) -> str:
    """The prefix that a proxy serves, without its trailing slash unless it is ``/`` alone."""
    if not text.startswith("/"):
        raise ValueError("must begin with a slash; write /name")
    if len(text) > _PATH_LENGTH:
        raise ValueError(f"is longer than {_PATH_LENGTH} characters; choose a shorter prefix")
    if "?" in text or "#" in text:
        raise ValueError("must be a path alone; remove the query or the fragment")
    if not _PATH.fullmatch(text):
        raise ValueError("holds a character that no path may hold; write it percent-encoded, as in %20")
    _check_segments(text)
    path = text.rstrip("/") or "/"
    plain = unquote(path) + "/"
    if taken := [prefix for prefix in _RESERVED if plain.startswith(prefix + "/")]:
        raise ValueError(f"{taken[0]} and all below it belong to the gateway; choose another prefix")
    return path


def _check_segments(path: str) -> None:
    if "//" in path:
        raise ValueError("holds an empty segment; remove one of the two slashes")
    if any(unquote(segment) in (".", "..") for segment in path.split("/")):
        raise ValueError("holds a `.` or `..` segment; write the path that it leads to")


def route_host(text: str) -> str:
    """A name, ``*.name`` or an IP address, lower-case and without a port; IPv6 loses its brackets."""
    host = text.lower()
    if ipv6 := _ipv6(host[1:-1] if host.startswith("[") and host.endswith("]") else host):
        return ipv6
    if not host.isascii():
        raise ValueError("holds a character outside ASCII; write the name in its xn-- form")
    if ":" in host or "/" in host:
        raise ValueError("must be a host alone; remove the scheme, the port and the path")
    if not _is_host(host.removeprefix("*.")):
        raise ValueError("is neither a host name nor an IP address; write example.org or *.example.org")
    return host


def server_name(text: str) -> str:
    """The name or address that a certificate must hold: a `route_host` without ``*.``."""
    if text.startswith("*."):
        raise ValueError("must be one name; write it without *., as the certificate of the upstream covers it")
    return route_host(text)


def page_origin(text: str) -> str:
    """A serialized origin (RFC 6454 6.2), lower-case and without its scheme's own port, or ``*`` for any."""
    lower = text.lower()
    if lower == "*":
        return lower
    if lower == "null":
        raise ValueError("every page can make its origin null; write the origins of your pages")
    scheme, separator, authority = lower.partition("://")
    if not separator or not _SCHEME.fullmatch(scheme) or not authority.isascii():
        raise ValueError("is not an origin; write https://app.example.org, without a path, or * for all")
    if re.search(r"[/?#@*\s]", authority):
        raise ValueError("must be an origin alone; remove the user, the path, the query and every *")
    _check_authority(authority)
    default = {"http": ":80", "https": ":443"}.get(scheme, "")
    return f"{scheme}://{authority.removesuffix(default) if default else authority}"


def is_upstream_name(text: str) -> bool:
    """Whether ``upstream`` of a proxy names an upstream, or a connection as in ``connection/github``; else it is a
    URL."""
    return _UPSTREAM_NAME.fullmatch(text) is not None


def upstream(text: str) -> str:
    """The name of an upstream, or an `upstream_url`. Returned as written."""
    return text if is_upstream_name(text) else upstream_url(text)


def same_upstream(one: str, other: str) -> bool:
    """Whether two `upstream` values are one name, or lead to one place: the same origin and base path."""
    if is_upstream_name(one) or is_upstream_name(other):
        return one == other
    return (origin(one), urlsplit(one).path.rstrip("/")) == (origin(other), urlsplit(other).path.rstrip("/"))


def upstream_url(text: str) -> str:
    """An absolute http or https URL: host, optional port and base path, nothing else. Returned as written."""
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        raise ValueError("holds a space or a character outside ASCII; write it percent-encoded, a host name as xn--")
    scheme, separator, rest = text.partition("://")
    if scheme.lower() == "h2c" and separator:
        raise ValueError("h2c:// is short for http:// with http2: always; remove http2: never, or write http://")
    if scheme.lower() not in ("http", "https") or not separator:
        raise ValueError("must begin with http:// or https://; write http://host:port/path")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in authority:
        raise ValueError("must not hold a user or a password; send them in `headers`, as in {env.NAME}")
    if "?" in text or "#" in text:
        raise ValueError("must not hold a query or a fragment; end it with the path")
    _check_authority(authority)
    path = rest[len(authority) :]
    if path and not _PATH.fullmatch(path):
        raise ValueError("the path holds a character that no path may hold; write it percent-encoded, as in %20")
    _check_segments(path)
    return text


def origin(text: str) -> str:
    """Scheme, host and port of an `upstream_url` in one form (RFC 6454 6.1): without the scheme's own port."""
    parts = urlsplit(upstream_url(text))
    host = parts.hostname or ""
    host = bracketed(_ipv6(host) or host)
    port = "" if parts.port in (None, {"http": 80, "https": 443}[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def is_address(url: str) -> bool:
    """Whether the host in ``url`` is an IP address."""
    try:
        ipaddress.ip_address((urlsplit(url).hostname or "").partition("%")[0])
    except ValueError:
        return False
    return True


def plain_origin(text: str) -> str:
    """The `origin` that ``text`` is: a URL without a path."""
    found = origin(text)
    if urlsplit(text).path not in ("", "/"):
        raise ValueError(
            "must be an origin: scheme, host and port alone, as in https://api.example.org; remove the path"
        )
    return found


def status_text(value: object) -> object:
    """A status that was written as a number, as text."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def status_range(text: str) -> str:
    """A status of HTTP, or two of them with ``-`` between, in one form."""
    found = _STATUS.fullmatch(text.strip())
    if found is None:
        raise ValueError('is neither a status nor a range of them; write "503" or "500-599"')
    first, last = found[1], found[2] or found[1]
    if last < first:
        raise ValueError(f'ends before it begins; write "{last}-{first}"')
    return first if first == last else f"{first}-{last}"


def check_path(text: str) -> str:
    """A path that a health check requests, with a query perhaps."""
    path, _, query = text.partition("?")
    if not text.startswith("/") or "#" in text:
        raise ValueError("must begin with a slash and hold no #; write a path such as /health")
    if not _PATH.fullmatch(path) or not _PATH.fullmatch("/" + query.replace("?", "")):
        raise ValueError("holds a character that no path may hold; write it percent-encoded, as in %20")
    return text


def hash_on(text: str) -> str:
    """What requests are hashed by: ``client``, ``header:NAME`` with a lower-case name, ``cookie:NAME``; or nothing."""
    kind, separator, name = text.strip().partition(":")
    if not text.strip() or (kind == "client" and not separator):
        return kind
    if kind not in ("header", "cookie") or not _TOKEN.fullmatch(name):
        raise ValueError("is nothing that requests can be hashed by; write client, header:NAME or cookie:NAME")
    return f"{kind}:{name.lower() if kind == 'header' else name}"


def above_one(number: float) -> float:
    """A factor that is 0, for none, or above 1."""
    if 0 < number <= 1:
        raise ValueError("must be above 1, as in 1.25; or 0 for no bound")
    return number


def _check_authority(authority: str) -> None:
    try:
        parts = urlsplit(f"//{authority}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(
            "the port or the IPv6 address is malformed; write http://host:port, http://[::1]:port"
        ) from None
    if not host:
        raise ValueError("the host is missing; write http://host:port")
    if port == 0 or authority.endswith(":"):
        raise ValueError("the port is missing or 0; write a port from 1 to 65535, or none for the scheme's own")
    bare, percent, zone = host.partition("%")
    if percent and not (_ipv6(bare) and _ZONE.fullmatch(percent + zone) and percent + zone != "%25"):
        raise ValueError("the zone of the address is malformed; write it behind %25, as in http://[fe80::1%25eth0]/")
    if authority.startswith("[") != bool(_ipv6(bare)) or not _is_host(bare):
        raise ValueError("the host is neither a name nor an IP address; write IPv6 in brackets: http://[::1]/")


def network(text: str) -> str:
    """A network in CIDR notation or one address, in its canonical form."""
    try:
        wide = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError("is neither an IP address nor a network; write 10.0.0.0/8 or 192.0.2.7") from None
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        raise ValueError(f"has bits set behind the length of the network; write {wide}") from None


def kept_variable(text: str) -> str:
    """The name of an environment variable that may leave the gateway's own hands: none of ``GATEWAY_*``."""
    if not _VARIABLE.fullmatch(text):
        raise ValueError("is not the name of an environment variable; write letters, digits and _, without ${}")
    if text.startswith(OWN_VARIABLES):
        raise ValueError(f"{OWN_VARIABLES}* are the gateway's own, its master key among them; remove this name")
    return text


def pseudonym(text: str) -> str:
    """The name of a gateway in the header field Via (RFC 9110 7.6.3)."""
    if not _PSEUDONYM.fullmatch(text):
        raise ValueError("must be 1 to 64 letters, digits or - . _ without blanks; write a name such as edge-1")
    return text


def database_url(text: str) -> str:
    """``sqlite:///relative.db``, ``sqlite:////absolute.db`` or ``postgresql://user@host/name``, as written."""
    scheme, separator, rest = text.partition("://")
    if scheme == "sqlite" and separator and rest.startswith("/") and len(rest) > 1 and "?" not in rest:
        return text
    if scheme == "postgresql" and separator and (urlsplit(text).hostname or "host=" in urlsplit(text).query):
        return text
    raise ValueError("is not a database; write sqlite:///FILE for one machine, postgresql://USER@HOST/NAME for a fleet")


def key_set_url(text: str) -> str:
    """Where an issuer publishes its keys: https, or http on this machine alone."""
    upstream_url(text)
    parts = urlsplit(text)
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise ValueError("must be https, so that no one on the way can replace the keys; write https://")
    return text
