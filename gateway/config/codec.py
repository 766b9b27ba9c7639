"""Records of the configuration as JSON and back: how they travel from the control process to its workers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.config.document import (
    AuthField,
    CircuitBreaker,
    Cors,
    Credentials,
    Document,
    Header,
    JwtIssuer,
    Limiter,
    Missing,
    Part,
    Proxy,
    Queue,
    Timeouts,
    TokenRecord,
    Tracing,
    UpstreamNetworks,
)
from gateway.core.address import Address
from gateway.core.limits import Limits


def encode(record: Document | Credentials) -> bytes:
    return orjson.dumps(record)


def document(data: Mapping[str, Any]) -> Document:
    """The document of parsed JSON. Raises KeyError or TypeError for what `encode` did not make."""
    return Document(
        **{
            **data,
            "listen": tuple(Address(**address) for address in data["listen"]),
            "trusted_proxies": tuple(data["trusted_proxies"]),
            "limits": Limits(**data["limits"]),
            "upstream_networks": UpstreamNetworks(**{k: tuple(v) for k, v in data["upstream_networks"].items()}),
            "own_listeners": tuple(Address(**address) for address in data["own_listeners"]),
            "tracing": None if data["tracing"] is None else Tracing(**data["tracing"]),
            "proxies": tuple(_proxy(proxy) for proxy in data["proxies"]),
        }
    )


def credentials(data: Mapping[str, Any]) -> Credentials:
    """The credentials of parsed JSON; raises as `document`."""
    return Credentials(
        {digest: TokenRecord(**token) for digest, token in data["tokens"].items()},
        tuple(
            JwtIssuer(
                **{**issuer, "audience": tuple(issuer["audience"]), "algorithms": tuple(issuer["algorithms"])},
            )
            for issuer in data["issuers"]
        ),
    )


def _proxy(data: Mapping[str, Any]) -> Proxy:
    return Proxy(
        **{
            **data,
            "hosts": tuple(data["hosts"]),
            "headers": tuple(
                Header(header["name"], tuple(map(_part, header["parts"])), header["secret"])
                for header in data["headers"]
            ),
            "limiter": Limiter(**data["limiter"]),
            "queue": Queue(**data["queue"]),
            "circuit_breaker": CircuitBreaker(**data["circuit_breaker"]),
            "timeouts": Timeouts(**data["timeouts"]),
            "cors": Cors(
                **{
                    **data["cors"],
                    "allow_origins": tuple(data["cors"]["allow_origins"]),
                    "expose_headers": tuple(data["cors"]["expose_headers"]),
                }
            ),
        }
    )


def _header(data: Mapping[str, Any]) -> Header:
    return Header(data["name"], tuple(map(_part, data["parts"])), data["secret"])


def _part(data: str | Mapping[str, str]) -> Part:
    if isinstance(data, str):
        return data
    return AuthField(data["field"]) if "field" in data else Missing(data["reference"])
