"""Connections and actions of the connector `sql`: PostgreSQL, MySQL, MariaDB and SQLite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from gateway.config import actions as records
from gateway.config import certificate_files, kinds
from gateway.config.schema.call_policy import Milliseconds
from gateway.config.schema.connector import ConnectorAction, ConnectorConnection
from gateway.config.schema.outbound_auth import Basic
from gateway.config.schema.section import Section
from gateway.config.schema.types import Seconds
from gateway.config.statements import Statement
from gateway.core.address import Address

Dialect = Literal["postgresql", "mysql", "sqlite"]
DIALECTS: Final[Mapping[str, Dialect]] = {
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
    "sqlite": "sqlite",
}
_PORTS: Final = {"postgresql": 5432, "mysql": 3306, "redis": 6379, "mongodb": 27017}
_LONGEST_SUMMARY: Final = 120


class ServerTls(Section):
    """TLS with a server."""

    mode: Literal["auto", "verify", "off"] = Field(default="auto", examples=["verify"])
    """`verify`: its certificate and name are verified. `off`: none. `auto`: `off` for this machine, else `verify`."""
    ca: str | None = Field(default=None, examples=["partners.pem"])
    """Path of the certificates, in PEM, of the authorities that sign the server's certificate. `null`: the system's.
    It is read when the configuration is."""
    ca_pem: str | None = Field(default=None, examples=["${DATABASE_CA}"])
    """The same as text."""

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.ca is not None and self.ca_pem is not None:
            raise ValueError("ca and ca_pem say the same; write one of them")
        if self.ca is not None:
            certificate_files.read_authorities("ca", self.ca)
        return self

    def texts(self) -> ServerTls:
        """Without paths, so that a worker needs no right to read the files."""
        if self.ca is None:
            return self
        return ServerTls(mode=self.mode, ca_pem=certificate_files.read_authorities("ca", self.ca).pem)


class Server:
    """A server that a URL names: ``scheme://user:password@host:port/name``."""

    __slots__ = ("host", "name", "password", "port", "scheme", "user")

    def __init__(self, url: str, auth: Basic | None = None) -> None:
        parts = urlsplit(url)
        self.scheme = parts.scheme
        self.host = parts.hostname or ""
        self.port = parts.port or _PORTS.get(DIALECTS.get(parts.scheme, parts.scheme), 0)
        self.user = auth.username if auth is not None else unquote(parts.username or "")
        self.password = auth.password if auth is not None else unquote(parts.password or "")
        self.name = unquote(parts.path.removeprefix("/"))

    @property
    def place(self) -> str:
        """Without credentials and name."""
        return f"{self.scheme}://{Address(self.host, self.port)}" if self.host else f"{self.scheme}://"

    @property
    def local(self) -> bool:
        """It is on this machine."""
        return self.host in ("localhost", "127.0.0.1", "::1") or not self.host


def server_url(url: str, schemes: tuple[str, ...]) -> str:
    """Raises ValueError for what names no server of one of ``schemes``. No message holds a part of it."""
    forms = ", ".join(f"{scheme}://" for scheme in schemes)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(f"is no URL; write {forms}HOST:PORT/NAME") from None
    if parts.scheme not in schemes or port == 0:
        raise ValueError(f"must begin with one of {forms}; write such a URL")
    if parts.query or parts.fragment:
        raise ValueError("must have no ? and no #; write options as keys of the connection")
    if parts.scheme != "sqlite" and not parts.hostname:
        raise ValueError("must name a host; write HOST or HOST:PORT behind the //")
    if parts.scheme == "sqlite" and (parts.netloc or parts.path in ("", "/")):
        raise ValueError("must name a file; write sqlite:///FILE, or sqlite:////FILE from the root")
    return url


def _sql_url(url: str) -> str:
    return server_url(url, tuple(DIALECTS))


class ServerConnection(ConnectorConnection):
    """What connections to a server that a URL names have in common."""

    url: str = Field(repr=False)
    auth: Basic | None = None
    tls: ServerTls = ServerTls()

    @property
    def server(self) -> Server:
        return Server(self.url, self.auth)

    def place(self) -> str:
        return self.server.place

    def urls(self) -> Iterator[tuple[tuple[str, ...], str]]:
        yield ("url",), self.place()

    def secrets(self) -> tuple[str, ...]:
        return (self.server.password,) if self.server.password else ()

    def open_keys(self) -> tuple[str, ...]:
        """`url` without a password says where the server is, which people need to see."""
        return ("url",) if urlsplit(self.url).password is None else ()

    def receiver(self) -> object:
        """Host and port, and TLS: without it others could read the password on its way."""
        return self.place(), self.tls.model_dump()

    @classmethod
    def of_this_machine(cls, settings: Mapping[str, object]) -> Iterator[tuple[str, ...]]:
        tls = settings.get("tls")
        if isinstance(tls, Mapping) and tls.get("ca") is not None:
            yield "tls", "ca"

    def authenticates(self) -> records.AuthKind:
        return "basic" if self.server.password else "none"

    def record(self, name: str) -> records.Connection:
        """As `ConnectorConnection.record`, with certificates as texts."""
        return ConnectorConnection.record(self.model_copy(update={"tls": self.tls.texts()}), name)


class SqlConnection(ServerConnection):
    """A database."""

    kind: str = Field(default="sql", examples=["sql"], json_schema_extra={"const": "sql"})
    """`sql`."""
    url: Annotated[str, AfterValidator(_sql_url)] = Field(repr=False, examples=["postgresql://reader@db.internal/shop"])
    """Where it is: `postgresql://HOST:PORT/NAME`, `mysql://...`, `mariadb://...`, or `sqlite:///FILE`. A user and a
    password may stand in it, as `${VARIABLE}`; better in `auth`."""
    auth: Basic | None = Field(
        default=None, examples=[{"type": "basic", "username": "reader", "password": "a password"}]
    )
    """The user and the password; `null`: those of the URL."""
    socket: str | None = Field(default=None, pattern=r"^/", examples=["/run/postgresql"])
    """A Unix socket instead of the host: of PostgreSQL the folder of it, of MySQL the socket itself. `null`: none."""
    tls: ServerTls = Field(default=ServerTls())
    """TLS with the server."""
    connect_timeout_ms: Milliseconds = Field(default=5000, ge=1, le=60_000, examples=[2000])
    """For opening a connection, with the answer of the server and the log-in."""
    idle: Seconds = Field(default=60, gt=0, le=86_400, examples=[30])
    """Seconds after its last call in which a worker keeps its connections open."""

    @field_validator("url")
    @classmethod
    def _driver_there(cls, url: str) -> str:
        dialect = DIALECTS[urlsplit(url).scheme]
        module, extra = {"postgresql": ("asyncpg", "postgres"), "mysql": ("aiomysql", "mysql")}.get(dialect, ("", ""))
        if module:
            kinds.require(module, extra)
        return url

    @model_validator(mode="after")
    def _user_there(self) -> Self:
        """The drivers would take the user of this process, or one of a variable."""
        if self.dialect != "sqlite" and not self.server.user:
            raise ValueError("the url names no user; write USER@ before its host, or auth with a username")
        return self

    @property
    def dialect(self) -> Dialect:
        return DIALECTS[self.server.scheme]

    @classmethod
    def of_this_machine(cls, settings: Mapping[str, object]) -> Iterator[tuple[str, ...]]:
        yield from super().of_this_machine(settings)
        if settings.get("socket") is not None:
            yield ("socket",)
        if str(settings.get("url")).lower().startswith("sqlite"):
            yield ("url",)


def _statement(text: str) -> str:
    Statement.of(text)
    return text


class SqlAction(ConnectorAction):
    """A statement with places for values."""

    kind: str = Field(default="sql", examples=["sql"], json_schema_extra={"const": "sql"})
    """`sql`."""
    statement: Annotated[str, AfterValidator(_statement)] = Field(
        max_length=65536, examples=["SELECT name, price FROM products WHERE id = :id"]
    )
    """One statement. `:name` stands for a value of the input, which never becomes a part of the text."""
    read_only: bool = Field(default=True, examples=[False])
    """`true`: the database itself rejects changes. `false`: they are committed when the statement succeeds."""
    max_rows: int = Field(default=1000, ge=1, le=1_000_000, examples=[100])
    """Most rows of a result. Further ones are left out, and `truncated` is `true` then. With `read_only: false` the
    statement has been executed to its end, and is committed."""

    def names(self) -> tuple[str, ...]:
        return Statement.of(self.statement).names

    def repeatable(self) -> bool:
        return self.read_only

    def reads(self) -> bool:
        return self.read_only

    def summary(self) -> str:
        line = " ".join(self.statement.split())
        return line if len(line) <= _LONGEST_SUMMARY else f"{line[:_LONGEST_SUMMARY]}..."

    def plan(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        values = {name: given.get(name) for name in self.names()}
        return {
            "statement": self.statement,
            "values": values,
            "read_only": self.read_only,
            "max_rows": self.max_rows,
        }
