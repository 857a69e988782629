"""Grouped errors and the audit log. The audit log's own file has the entries as `record` kept them."""

from __future__ import annotations

from tests.canary._world import World
from undercroft.logging import redact_pii
from undercroft.monitoring import ErrorTracker, create_audit_log


async def drive(world: World) -> None:
    _errors(world)
    await _audit(world)
    world.expect("mark-failed", "mark-order", "mark-reason")


def _errors(world: World) -> None:
    tracker = ErrorTracker(redact=redact_pii)
    try:
        raise ConnectionError(f"mark-failed: https://u:{world.secret('error.message')}@h")
    except ConnectionError as exc:
        user = world.secret("shape.email")
        context = {"order_id": 7, "password": world.secret("error.context"), "items": [{"token": "x"}]}
        tracker.capture_exception(exc, context=context, user=user)
    world.take("errors", *tracker.list_groups(), tracker.snapshot(), *tracker.hotspots())


async def _audit(world: World) -> None:
    async with create_audit_log(f"sqlite:///{world.home}/audit.db", redact=redact_pii) as log:
        entry = await log.record(
            "user.update",
            "mark-order",
            actor="user:7",
            before={"password": world.secret("audit.change"), "plan": "free"},
            after={
                "password": world.secret("audit.change") + "x",
                "plan": "gold",
                "api_key": world.secret("audit.key"),
            },
            reason=f"mark-reason: asked at https://u:{world.secret('audit.reason')}@h",
        )
        world.take("audit", entry, *await log.search(limit=10), log)
    world.take("stored", *(path.read_bytes() for path in world.home.glob("audit.db*")))
