"""The guards on a real socket, with clients at the same time."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path
from typing import Any

import httpx2
import pytest
import websockets.asyncio.client
import websockets.exceptions

from tests.asgi._server import client_of, served
from tests.asgi.guard._limits import ok
from undercroft.asgi import DDoSProtection, LimitRule, Message, RateLimitGuard, Receive, Scope, Send, by_ip
from undercroft.ratelimit import RateLimits, RatePolicy, SlidingWindow, create_rate_limits

CLIENTS = 32
EACH = 5


async def at_once(address: str, count: int, headers: dict[str, str] | None = None) -> list[httpx2.Response]:
    async with httpx2.AsyncClient(base_url=f"http://{address}", trust_env=False, timeout=20) as client:
        return await asyncio.gather(*(client.get("/api", headers=headers) for _ in range(count)))


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_exactly_as_many_are_served_as_the_limit_allows(store: str, tmp_path: Path) -> None:
    limits = create_rate_limits("memory://" if store == "memory" else f"sqlite:///{tmp_path}/limits.db", timeout="20s")
    policy = RatePolicy("api", SlidingWindow(50, "1h"), fail="closed", timeout="20s")
    with served(_opening(RateLimitGuard(ok, limits, policy=policy), limits), proxy_headers=False) as server:
        answers: list[httpx2.Response] = []

        def client() -> None:
            answers.extend(asyncio.run(at_once(server.address, EACH)))

        threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(40)
    assert len(answers) == CLIENTS * EACH
    allowed = [answer for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert (len(allowed), len(refused)) == (50, CLIENTS * EACH - 50)
    assert sorted(int(answer.headers["x-ratelimit-remaining"]) for answer in allowed) == list(range(50))
    assert all(0 < int(answer.headers["retry-after"]) <= 3600 for answer in refused)


def test_a_header_that_a_client_writes_changes_nothing() -> None:
    limits = create_rate_limits("memory://")
    guard = RateLimitGuard(ok, limits, policy="3/m")
    with served(guard, proxy_headers=False) as server, client_of(server) as client:
        spoofed = [
            client.get("/api", headers={"x-forwarded-for": f"10.0.0.{n}", "forwarded": f"for=10.0.0.{n}"}).status_code
            for n in range(8)
        ]
    assert spoofed == [200] * 3 + [429] * 5


def test_a_proxy_of_ours_says_who_a_client_is() -> None:
    limits = create_rate_limits("memory://")
    guard = RateLimitGuard(ok, limits, policy="1/m", key=by_ip(["127.0.0.1"]))
    with served(guard, proxy_headers=False) as server, client_of(server) as client:
        clients = ("6.6.6.6", "6.6.6.6", "7.7.7.7")
        found = [client.get("/", headers={"x-forwarded-for": each}).status_code for each in clients]
    assert found == [200, 429, 200]


def test_a_large_body_is_refused_without_being_read() -> None:
    limits = create_rate_limits("memory://")
    read: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            message: Message = await receive()
            read.append(len(message.get("body", b"")))
            await ok(scope, receive, send)

    with served(RateLimitGuard(app, limits, policy="1/m"), proxy_headers=False) as server, client_of(server) as client:
        assert client.post("/upload", content=b"x").status_code == 200
        other = httpx2.Client(base_url=f"http://{server.address}", trust_env=False)
        # The server may close the connection while the client still writes.
        with other, contextlib.suppress(httpx2.TransportError):
            assert other.post("/upload", content=b"x" * 5_000_000).status_code == 429
    assert len(read) == 1


def test_a_flood_is_refused_and_others_are_served() -> None:
    app = DDoSProtection(ok, per_client="20/m", strikes=5, max_lag=None, trusted_proxies=["127.0.0.1"])
    with served(app, proxy_headers=False) as server:
        flood = asyncio.run(at_once(server.address, 100, {"x-forwarded-for": "192.0.2.66"}))
        quiet = asyncio.run(at_once(server.address, 5, {"x-forwarded-for": "198.51.100.1"}))
    assert [answer.status_code for answer in quiet] == [200] * 5
    assert sorted(answer.status_code for answer in flood) == [200] * 20 + [429] * 80
    assert list(app.list_blocked()) == ["ip:192.0.2.66"]


def test_a_handshake_is_refused_with_an_answer_that_says_why() -> None:
    limits = create_rate_limits("memory://")
    guard = RateLimitGuard(ok, limits, rules=[LimitRule(policy="1/m", methods="WEBSOCKET")])

    async def connect(address: str) -> None:
        async with websockets.asyncio.client.connect(f"ws://{address}/ws", proxy=None):
            pass

    with served(guard, proxy_headers=False) as server:
        asyncio.run(connect(server.address))
        with pytest.raises(websockets.exceptions.InvalidStatus) as caught:
            asyncio.run(connect(server.address))
    assert caught.value.response.status_code == 429
    assert caught.value.response.headers["retry-after"]


def _opening(app: Any, limits: RateLimits) -> Any:
    """Return `app` with a lifespan that opens the limits in the server's loop."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        await receive()
        async with limits:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    return serve
