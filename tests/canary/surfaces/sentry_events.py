"""Events for Sentry: what the SDK collects, the application captures, and lines tell, as they leave the process."""

from __future__ import annotations

from typing import Any

import sentry_sdk
from sentry_sdk.integrations.logging import LoggingIntegration

from tests.canary._world import World
from tests.logging.sentry._receiver import receiving
from undercroft._core.context import Correlation, correlate
from undercroft.logging import Logger
from undercroft.logging.sentry import SentryBridge

shop = Logger(module="canary.sentry")


async def drive(world: World) -> None:
    for is_joined in (False, True):
        async with receiving() as sentry:
            if is_joined:
                sentry_sdk.init(sentry.dsn, default_integrations=False, integrations=[LoggingIntegration()])
            client = sentry_sdk.get_client()
            bridge = SentryBridge(
                sentry.dsn,
                local_variables=True,
                traces=True,
                user=lambda: {"id": "7", "email": world.secret("shape.email"), "token": world.secret("sentry.user")},
            )
            async with bridge:
                world.take("repr", bridge, bridge.counts)
                with correlate(Correlation(request_id="mark-request")), sentry_sdk.new_scope() as scope:
                    _fill(world, scope)
                    _capture(world)
            client.close(2.0)
            sentry_sdk.get_global_scope().set_client(None)
        sentry_sdk.get_isolation_scope().clear()
        world.take("envelopes", sentry.text)
        assert len(sentry.events) == 4
    world.expect("mark-request", "mark-breadcrumb", "mark-captured", "mark-line", "mark-event", "mark-transaction")


def _fill(world: World, scope: Any) -> None:
    scope.set_tag("mark-tag", f"https://u:{world.secret('sentry.tag')}@h")
    scope.set_context("mark-context", {"db": {"password": world.secret("sentry.context")}})
    scope.set_extra("mark-extra", {"items": [{"api_key": world.secret("sentry.extra")}]})
    sentry_sdk.add_breadcrumb(message="mark-breadcrumb", data={"secret": world.secret("sentry.breadcrumb")})
    sentry_sdk.add_breadcrumb(message=f"GET https://h/?token={world.secret('sentry.breadcrumb')}", category="http")
    shop.info("mark-info", password=world.secret("sentry.breadcrumb"))


def _capture(world: World) -> None:
    password = world.secret("sentry.variable")
    headers = [("Authorization", password), (b"cookie", password.encode())]
    command = ["deploy", "--token", password]
    try:
        raise LookupError(f"mark-captured: https://u:{world.secret('sentry.exception')}@h", {"token": password})
    except LookupError as exc:
        sentry_sdk.capture_exception(exc)
        try:
            raise RuntimeError(f"mark-outer {len(headers)} {len(command)}") from exc
        except RuntimeError as outer:
            shop.error("mark-line", outer, card=world.secret("sentry.card"), details={"card": int("4916338506082832")})
    sentry_sdk.capture_message(f"mark-message https://u:{world.secret('sentry.message')}@h")
    sentry_sdk.capture_event(
        {
            "message": "mark-event",
            "request": {
                "url": f"https://u:{world.secret('sentry.message')}@h/x",
                "headers": {"X-Api-Key": world.secret("sentry.header"), "accept": "*/*"},
                "cookies": {"theme": world.secret("sentry.cookie")},
                "query_string": f"page=2&token={world.secret('sentry.query')}",
                "data": f'{{"password": "{world.secret("sentry.body")}"}}',
                "env": {"DATABASE_PASSWORD": world.secret("sentry.header")},
            },
            "extra": {f"redis://u:{world.secret('sentry.key')}@h": 1, "list": ["a", {"client_secret": password}]},
        }
    )
    with sentry_sdk.start_transaction(name="mark-transaction", op="test", sampled=True) as transaction:
        transaction.set_data("password", password)
        with sentry_sdk.start_span(op="http", name=f"GET https://h/?api_key={world.secret('sentry.query')}") as span:
            span.set_data("authorization", password)
