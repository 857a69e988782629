"""Label values of an application's own metrics: redacted when a series is made, so that counting stays cheap."""

from __future__ import annotations

from tests.canary._rules import redact_attribute
from tests.canary._world import World
from undercroft.monitoring import Registry


async def drive(world: World) -> None:
    registry = Registry(redact=redact_attribute)
    for _ in range(2):
        registry.increment("mark_logins", {"password": world.secret("metric.label"), "shop": "mark-shop"})
        registry.increment("mark_logins", {"user": world.secret("shape.email"), "shop": "mark-shop"})
        registry.observe("mark_seconds", 0.2, {"upstream": f"https://u:{world.secret('metric.url')}@h/"})
        registry.gauge("mark_cards", 1, {"card": world.secret("shape.visa")})
    world.take("metrics", registry.render_prometheus(), registry.render_openmetrics(), *registry.get_all_metrics())
    world.expect("mark_logins_total", "mark-shop", "mark_seconds", "mark_cards")
