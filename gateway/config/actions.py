"""Connections and actions as plain frozen records, as `gateway.config.records` has the rest.

A connection says where a third party is, how to authenticate there, and what each of its calls has in common. An action
is one call that is made by name. Times are seconds, sizes bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

DEFAULT_TENANT = "default"
HTTP: Final = "http"
MCP: Final = "mcp"
REQUESTS: Final = (HTTP, MCP)
"""The kinds of connections whose calls are requests of HTTP; those of other kinds are made by connectors."""

AuthKind = Literal[
    "none",
    "api_key",
    "basic",
    "bearer",
    "sigv4",
    "hmac",
    "oauth2_client_credentials",
    "oauth2_authorization_code",
    "oauth2_device",
    "jwt",
]
ClientAuth = Literal["basic", "body", "none"]
"""How a client names itself at a token endpoint (RFC 6749 2.3.1). ``none``: by its id alone."""
Place = Literal["auto", "header", "query"]
"""Where an API key goes. ``auto``: by the form of its name."""
Merge = Literal["layered", "strict"]
"""``layered``: connection < action < input. ``strict``: what the connection sets is not overridden."""
BodyKind = Literal["json", "form", "text", "multipart"]
ParameterPlace = Literal["path", "query", "header", "body", "template"]
"""``template``: only where ``{name}`` stands."""


TOKEN_KINDS: Final = frozenset(("oauth2_client_credentials", "oauth2_authorization_code", "oauth2_device", "jwt"))
INTERACTIVE_KINDS: Final = frozenset(("oauth2_authorization_code", "oauth2_device"))
"""A person has to agree before there is a token."""


@dataclass(frozen=True, slots=True)
class OAuth:
    """Where the access tokens of a connection come from. Times are seconds.

    It stays in the control process: the data plane gets the tokens alone.
    """

    token_url: str
    """Empty: a JWT that is signed here is the token itself."""
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    client_auth: ClientAuth = "basic"
    scopes: tuple[str, ...] = ()
    scope_delimiter: str = " "
    token_params: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Further parameters of each request to the token endpoint, as ``audience``."""
    default_lifetime: float = 3600.0
    """Of a token whose response has no expiry; 0: it does not end."""
    authorize_url: str = ""
    authorize_params: Mapping[str, str] = field(default_factory=dict, repr=False)
    redirect_uri: str = ""
    device_url: str = ""
    revoke_url: str = ""
    key: str = field(default="", repr=False)
    """The private key, PEM, or the shared secret with which a JWT is signed."""
    key_id: str = ""
    algorithm: str = ""
    issuer: str = ""
    subject: str = ""
    audience: str = ""
    lifetime: float = 300.0
    """Of a JWT that is signed here."""


@dataclass(frozen=True, slots=True)
class Auth:
    """How calls authenticate. Which fields are used depends on ``kind``.

    ``name``: of the field or the query parameter of an API key, of the user (basic), of the access key (sigv4), of the
    field that carries the signature (hmac). ``secret``: key, password, token or secret key.
    """

    kind: AuthKind = "none"
    name: str = ""
    secret: str = field(default="", repr=False)
    place: Place = "auto"
    prefix: str = ""
    """Before the signature of ``hmac``."""
    session: str = field(default="", repr=False)
    """Session token (sigv4)."""
    region: str = ""
    service: str = ""
    oauth: OAuth | None = None
    """None where the control process has it, and for kinds that have no tokens."""

    @property
    def has_tokens(self) -> bool:
        """Whether calls need an access token, which the control process gets."""
        return self.kind in TOKEN_KINDS

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values that must be shown nowhere."""
        return tuple(value for value in (self.secret, self.session) if value)


@dataclass(frozen=True, slots=True)
class FieldPolicy:
    """Which header fields a call may have. Names are in lower case."""

    denied: tuple[str, ...] = (
        *("host", "content-length", "transfer-encoding", "expect", "connection", "upgrade"),
        *("proxy-authorization", "keep-alive", "proxy-authenticate", "proxy-connection", "te", "trailer", "trailers"),
    )
    reserved: tuple[str, ...] = ("authorization",)
    """In strict mode those that the action sets stay, whatever the connection says."""
    append: tuple[str, ...] = ("accept", "accept-encoding", "accept-language", "cookie", "set-cookie", "cache-control")
    """Several layers add up to one list."""
    drop_denied: bool = True
    """False: a denied field is an error."""
    max_value_length: int = 8192
    max_fields: int = 64
    content_types: tuple[str, ...] = ()
    """Media types that a request may have; (): all."""
    refuse_scripts: bool = True
    """Whether values with ``<script``, ``javascript:`` or ``data:`` are an error."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a call is made again, and after how long. ``retries``: besides the first attempt."""

    retries: int = 3
    base: float = 1.0
    most: float = 30.0
    factor: float = 2.0
    jitter: Literal["none", "full"] = "full"
    statuses: tuple[int, ...] = (429, 500, 502, 503, 504)
    respect_retry_after: bool = True
    total: float = 300.0
    """Seconds in which the last attempt has to begin; 0: no limit."""
    non_idempotent: bool = False
    """POST and PATCH too, without an Idempotency-Key."""


@dataclass(frozen=True, slots=True)
class Connection:
    """``upstream``: the name of its `gateway.config.records.Upstream`. The values of fields and parameters may be
    secrets, and are kept out of the representation."""

    trn: str
    base_url: str
    upstream: str
    auth: Auth = Auth()
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Members that a JSON body gets."""
    fields: FieldPolicy = FieldPolicy()
    retry: Retry | None = None
    timeout: float = 30.0
    bounds_time: bool = False
    """Whether ``timeout`` holds whatever an action says: it is strict, and sets the time itself."""
    merge: Merge = "layered"
    max_bytes: int = 8 * 1024 * 1024
    """Of a response's body."""
    description: str = ""
    hidden: tuple[str, ...] = field(default=(), repr=False)
    """Values in it that came from variables: they may be secrets, and are shown nowhere."""
    kind: str = "http"
    """The connector."""
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """All keys of a connection that is not of `http`, as JSON."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One value that a caller gives. ``schema``: the JSON Schema of it."""

    name: str
    place: ParameterPlace
    schema: Mapping[str, Any] = field(default_factory=dict)
    required: bool = False
    default: Any = None
    """None: there is none."""


@dataclass(frozen=True, slots=True)
class Body:
    """What is sent as the request's body. ``value``: JSON, a mapping of texts (form), of texts and files
    (multipart), or text (text, raw)."""

    kind: BodyKind = "json"
    value: Any = None
    content_type: str = ""
    """Empty: the usual one of the kind."""


PageKind = Literal["page", "offset", "cursor", "link"]
"""``page``: its number. ``offset``: how many items came before. ``cursor``: a value of the page before. ``link``: the
field Link of it (RFC 8288)."""


@dataclass(frozen=True, slots=True)
class Pagination:
    """How the further pages of an action are found, and how many of them one call reads. Paths are names with dots."""

    kind: PageKind
    items: str = ""
    """Path of the list of items; "": the body is the list."""
    parameter: str = ""
    """The input that says which page; "" for ``link``."""
    start: int = 1
    """Its value for the first page, of ``page`` and ``offset``."""
    size_parameter: str = ""
    """The input that says how many items a page has; "": none does."""
    size: int = 0
    """Items of a full page; 0: it is not known."""
    cursor: str = ""
    """Path of the cursor of the next page."""
    more: str = ""
    """Path of what is true while there are more pages; "": there is none."""
    max_pages: int = 100
    max_items: int = 10_000
    max_bytes: int = 8 * 1024 * 1024
    """Of all pages together."""
    max_page_bytes: int = 256 * 1024
    """Of one page, because it is parsed in one piece."""


@dataclass(frozen=True, slots=True)
class Governance:
    """Which actions may be called at all, and how many at once. ``deny`` wins over ``allow``.

    A pattern with ``*`` stands for names ``CONNECTOR.ACTION``; one that begins with ``trn:`` for TRNs.
    """

    allow: tuple[str, ...] = ("*",)
    deny: tuple[str, ...] = ()
    max_concurrent: int = 0
    """Calls at the same time, over all workers; 0: no limit."""
    timeout: float = 0.0
    """Seconds that no call exceeds; 0: those of its action."""


@dataclass(frozen=True, slots=True)
class Action:
    """``path``: with ``{name}`` for parameters. ``connection``: a TRN."""

    trn: str
    connection: str
    method: str = "GET"
    path: str = "/"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: Body | None = field(default=None, repr=False)
    parameters: tuple[Parameter, ...] = ()
    input_schema: Mapping[str, Any] | None = None
    """None: it follows from ``parameters``."""
    fields: FieldPolicy | None = None
    retry: Retry | None = None
    timeout: float = 0.0
    """0: that of the connection."""
    max_bytes: int = 0
    """0: that of the connection."""
    description: str = ""
    hidden: tuple[str, ...] = field(default=(), repr=False)
    """Values in it that came from variables, or are secrets by their names: they are shown nowhere."""
    pagination: Pagination | None = None
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """All keys of an action that is not of `http`, as JSON."""
    tool: str = ""
    """Of a server of MCP, which the connection is; empty: the action is a request of HTTP."""
