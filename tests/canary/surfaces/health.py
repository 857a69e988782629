"""Health checks whose messages and exceptions have secrets in them."""

from __future__ import annotations

from tests.asgi._calls import call, http_scope
from tests.canary._world import World
from undercroft import Infra
from undercroft.asgi import InfraMiddleware
from undercroft.health import HealthResult, HealthStatus, health_check


async def drive(world: World) -> None:
    @health_check("mark-search")
    async def search() -> HealthResult:
        text = f"mark-slow: https://u:{world.secret('health.message')}@search.example answers late"
        return HealthResult(HealthStatus.DEGRADED, text)

    @health_check("mark-payments")
    async def payments() -> None:
        raise ConnectionError(f"no answer from https://pay.example?token={world.secret('health.exception')}")

    infra = Infra(environ={}, email_from="s@example.com", home=world.home, health_checks=[search, payments])
    async with infra:
        report = await infra.health.run()
        world.take("report", report, *report.checks.values())
        for path in ("/health", "/health?verbose", "/readyz", "/readyz?verbose", "/livez"):
            path, _, query = path.partition("?")
            for accept in ("*/*", "application/health+json"):
                scope = http_scope(path, headers=[("accept", accept)], query_string=query.encode())
                world.take("answers", (await call(InfraMiddleware(_nothing, infra), scope)).body)
    world.expect("mark-slow", "mark-payments")


async def _nothing(scope: object, receive: object, send: object) -> None:
    raise AssertionError("not a health route")
