"""Keys once known stay good while their issuer is away, whoever of us is restarted meanwhile."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
from harness.answers import answer, each_request, ok
from harness.deployment import Deployment
from harness.ports import reserved_port
from harness.upstream import Upstream
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

pytestmark = pytest.mark.timeout(180)


async def test_keys_stay_good_over_any_restart(tmp_path: Path, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    key, other = (RSAKey.generate_key(2048, {"kid": kid}) for kid in ("known", "new"))
    published = [key]

    def keys(_: object) -> bytes:
        text = json.dumps(KeySet([*published]).as_dict(private=False)).encode()
        return answer(text, "Content-Type: application/json")

    def token(signer: RSAKey = key, **claims: object) -> str:
        said = {"iss": "https://i", "aud": "gw", "sub": "u", "exp": time.time() + 600} | claims
        return "Bearer " + jwt.encode({"alg": "RS256", "kid": signer.kid}, said, signer, algorithms=["RS256"])

    async with AsyncExitStack() as house:
        issuer = await house.enter_async_context(Upstream(each_request(keys)))
        auth = f"{{issuer: https://i, audience: [gw], algorithms: [RS256], jwks_url: '{issuer.url}/keys'}}"
        proxies = json.dumps(
            [{"name": "web", "path": "/web", "upstream": upstream.url, "access_rule": "@request.auth.id = 'u'"}]
        )
        address = f"127.0.0.1:{reserved_port()}"  # a new worker listens where the old one did
        async with Deployment(tmp_path, proxies=proxies, more=f"auth: {{jwt: [{auth}]}}", listen=address) as gateway:

            async def served(bearer: str) -> None:
                end = time.monotonic() + 45
                while await status(bearer) != 200:
                    assert time.monotonic() < end, gateway.log.read_text()
                    await asyncio.sleep(0.02)

            async def status(bearer: str) -> int:
                try:
                    return (await gateway.get("/web", Authorization=bearer))[0]
                except aiohttp.ClientError:  # while there is no worker
                    return 0

            await served(token())
            published.append(other)
            await served(token(other))  # by the worker's word: 15 seconds after the last fetch at most
            await house.aclose()  # the issuer is away from here on

            before, greetings = gateway.pid("control"), gateway.greetings
            gateway.kill("control")
            while gateway.pid("control") in (0, before) or gateway.greetings == greetings:
                assert (await gateway.get("/web", Authorization=token(jti=time.time())))[0] == 200
                await asyncio.sleep(0.02)
            assert (await gateway.get("/web", Authorization=token(jti="after control")))[0] == 200

            before = gateway.pid("worker")
            gateway.kill("worker")
            await gateway.replaced("worker", before)

            await served(token(jti="after worker"))

            gateway.signal(signal.SIGTERM)
            assert await gateway.ended() == 0
            gateway.log.unlink()
            await gateway.start()
            assert (await gateway.get("/web", Authorization=token(other, jti="after all")))[0] == 200
            assert (await gateway.get("/web", Authorization=token()[:-6] + "AAAAAA"))[0] == 401
