"""Connections and actions of the connector `redis`: Redis and Valkey."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from gateway.config.schema.call_policy import Milliseconds
from gateway.config.schema.connector import ConnectorAction
from gateway.config.schema.outbound_auth import Basic
from gateway.config.schema.sql import Server, ServerConnection, ServerTls, server_url
from gateway.config.schema.types import Listed, Seconds

_PLACE: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_-]*)(\.\.\.)?\}")
READS: Final = frozenset(
    (
        *("BITCOUNT", "BITPOS", "DBSIZE", "EXISTS", "EXPIRETIME", "GEODIST", "GEOHASH", "GEOPOS"),
        *("GEOSEARCH", "GET", "GETBIT", "GETRANGE", "HEXISTS", "HGET", "HGETALL", "HKEYS", "HLEN", "HMGET"),
        *("HRANDFIELD", "HSCAN", "HSTRLEN", "HVALS", "LCS", "LINDEX", "LLEN", "LPOS", "LRANGE", "MGET"),
        *("PEXPIRETIME", "PFCOUNT", "PING", "PTTL", "SCAN", "SCARD", "SDIFF", "SINTER", "SINTERCARD"),
        *("SISMEMBER", "SMEMBERS", "SMISMEMBER", "SRANDMEMBER", "SSCAN", "STRLEN", "SUNION", "TIME"),
        *("TTL", "TYPE", "XINFO", "XLEN", "XPENDING", "XRANGE", "XREVRANGE", "ZCARD", "ZCOUNT", "ZDIFF"),
        *("ZINTER", "ZINTERCARD", "ZLEXCOUNT", "ZMSCORE", "ZRANDMEMBER", "ZRANGE", "ZRANK"),
        *("ZREVRANK", "ZSCAN", "ZSCORE", "ZUNION"),
    )
)
"""Commands that change nothing, and do not block."""
WRITES: Final = frozenset(
    (
        *("APPEND", "COPY", "DECR", "DECRBY", "DEL", "EXPIRE", "EXPIREAT", "GEOADD", "GETDEL", "GETEX"),
        *("GETSET", "HDEL", "HINCRBY", "HINCRBYFLOAT", "HMSET", "HSET", "HSETNX", "INCR", "INCRBY"),
        *("INCRBYFLOAT", "LINSERT", "LMOVE", "LMPOP", "LPOP", "LPUSH", "LPUSHX", "LREM", "LSET", "LTRIM"),
        *("MSET", "MSETNX", "PERSIST", "PEXPIRE", "PEXPIREAT", "PFADD", "PFMERGE", "PSETEX", "PUBLISH"),
        *("RENAME", "RENAMENX", "RPOP", "RPOPLPUSH", "RPUSH", "RPUSHX", "SADD", "SDIFFSTORE", "SET"),
        *("SETBIT", "SETEX", "SETNX", "SETRANGE", "SINTERSTORE", "SMOVE", "SPOP", "SREM", "SUNIONSTORE"),
        *("TOUCH", "UNLINK", "XACK", "XADD", "XDEL", "XTRIM", "ZADD", "ZINCRBY", "ZPOPMAX", "ZPOPMIN"),
        *("ZRANGESTORE", "ZREM", "ZREMRANGEBYLEX", "ZREMRANGEBYRANK", "ZREMRANGEBYSCORE"),
    )
)
"""Commands that change the keys which they name. Scripts, transactions, settings and what waits are in neither."""


def _redis_url(url: str) -> str:
    made = Server(server_url(url, ("redis", "valkey")))
    if not re.fullmatch(r"\d{0,5}", made.name):
        raise ValueError("must end with the number of a database, or with the port; write redis://HOST:PORT/0")
    return url


class RedisConnection(ServerConnection):
    """A Redis or a Valkey."""

    kind: str = Field(default="redis", examples=["redis"], json_schema_extra={"const": "redis"})
    """`redis`."""
    url: Annotated[str, AfterValidator(_redis_url)] = Field(repr=False, examples=["redis://cache.internal:6379/0"])
    """Where it is: `redis://HOST:PORT/DATABASE`. A user and a password may stand in it, as `${VARIABLE}`; better in
    `auth`."""
    auth: Basic | None = Field(default=None, examples=[{"type": "basic", "username": "reader", "password": "secret"}])
    """The user (empty: the default one) and the password; `null`: those of the URL."""
    tls: ServerTls = Field(default=ServerTls())
    """TLS with the server."""
    connect_timeout_ms: Milliseconds = Field(default=5000, ge=1, le=60_000, examples=[2000])
    """For opening a connection, with the answer of the server and the log-in."""
    idle: Seconds = Field(default=60, gt=0, le=86_400, examples=[30])
    """Seconds after which a worker closes a connection that no call has used."""


class RedisAction(ConnectorAction):
    """A command with places for values."""

    kind: str = Field(default="redis", examples=["redis"], json_schema_extra={"const": "redis"})
    """`redis`."""
    command: Listed[str] = Field(min_length=1, max_length=1000, examples=[["GET", "user:{id}"]])
    """The command and its arguments. `{name}` stands for a value of the input within one argument, `{name...}` alone
    for as many arguments as the list has."""
    read_only: bool = Field(default=True, examples=[False])
    """`true`: only commands that change nothing. `false`: also those that change keys. Others are never accepted."""
    decode: Literal["text", "json", "base64"] = Field(default="text", examples=["json"])
    """What strings of the reply are: text in UTF-8, JSON, or bytes, which become base64."""

    @model_validator(mode="after")
    def _accepted(self) -> Self:
        word = self.command[0].upper()
        if word in WRITES and self.read_only:
            raise ValueError(f"{word} changes keys; write read_only: false")
        if word not in READS | WRITES:
            raise ValueError("the command is none that actions may use; write one for data, such as GET or HSET")
        for argument in self.command[1:]:
            spread = [name for name, dots in _PLACE.findall(argument) if dots]
            if spread and argument != f"{{{spread[0]}...}}":
                raise ValueError(f"{{{spread[0]}...}} must be an argument of its own; write it alone")
        return self

    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for argument in self.command[1:] for name, _ in _PLACE.findall(argument)))

    def repeatable(self) -> bool:
        return self.read_only

    def reads(self) -> bool:
        return self.read_only

    def summary(self) -> str:
        return " ".join(self.command)[:120]

    def plan(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"command": list(self.command), "values": {name: given.get(name) for name in self.names()}}

    def arguments(self, given: Mapping[str, Any]) -> Iterator[str]:
        """The command with the values of ``given`` in it, each within its argument. Raises ValueError."""
        yield self.command[0].upper()
        for argument in self.command[1:]:
            spread = _PLACE.fullmatch(argument)
            if spread is not None and spread[2]:
                values = given[spread[1]]
                if not isinstance(values, list) or not values:
                    raise ValueError(f"{spread[1]} must be a list with one value or more; write such a list")
                yield from (_plain(spread[1], value) for value in values)
            else:
                yield _PLACE.sub(lambda found: _plain(found[1], given[found[1]]), argument)


def _plain(name: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{name} must be a text or a number; write one")
    return str(value)
