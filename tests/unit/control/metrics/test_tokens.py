from collections.abc import Mapping

from gateway.config.actions import OAuth
from gateway.config.grants import Grant
from gateway.control.metrics.tokens import token_lines
from gateway.core.grant import IssuedTokens, StoredGrant
from gateway.grants.broker import Broker
from gateway.grants.memory import MemoryGrants
from gateway.ipc.tokens import AccessToken

TRN = "trn:openact:default:connection/http/shop@v1"


async def fetch(grant: Grant, stored: StoredGrant, now: float) -> IssuedTokens:
    return IssuedTokens("token", "", now, now + 3600.0)


async def push(tokens: Mapping[str, AccessToken]) -> None:
    pass


def lines(broker: Broker, *, open_metrics: bool = False) -> list[str]:
    return "".join(token_lines(broker, 1000.0, open_metrics=open_metrics)).splitlines()


async def test_each_connection_has_its_state_and_its_refreshes() -> None:
    broker = Broker(MemoryGrants(), fetch, push, clock=lambda: 1000.0)
    assert lines(broker) == []
    broker.configure({TRN: Grant(TRN, "connection/shop", "oauth2_client_credentials", OAuth("t", "c"), "h")})
    found = lines(broker)
    assert 'gateway_connection_token_status{connection="connection/shop",status="not_issued"} 1' in found
    assert 'gateway_connection_token_status{connection="connection/shop",status="ready"} 0' in found
    assert 'gateway_token_refreshes_total{connection="connection/shop",outcome="renewed"} 0' in found
    assert not any("expiry" in line for line in found)
    await broker.get(TRN)
    found = lines(broker, open_metrics=True)
    assert 'gateway_connection_token_status{connection="connection/shop",status="ready"} 1' in found
    assert 'gateway_connection_token_expiry_seconds{connection="connection/shop"} 4600.0' in found
    assert 'gateway_token_refreshes_total{connection="connection/shop",outcome="renewed"} 1' in found
    assert "# TYPE gateway_token_refreshes counter" in found
