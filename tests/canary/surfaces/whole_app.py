"""One application with all of it on, in a process of its own: lines, spans, metrics, Sentry, stores and commands."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

import anyio.to_thread

from tests.canary._world import World
from tests.cli._process import run
from tests.email._http import answer, recorder
from tests.logging.sentry._receiver import PUBLIC_KEY, receiving

ROOT = Path(__file__).parents[3]
PROGRAM = """\
import os
from contextlib import suppress

import anyio

from tests.asgi._calls import call, http_scope
from undercroft import Infra
from undercroft.asgi import InfraMiddleware
from undercroft.email import send_email
from undercroft.health import health_check
from undercroft.logging import logger
from undercroft.monitoring import increment, start_span
from undercroft.queue import job

PASSWORD, CARD, MAIL = os.environ["PASSWORD"], os.environ["CARD"], os.environ["MAIL"]
URL = f"https://u:{PASSWORD}@pay.example/?token={PASSWORD}"


@job("mark.pay", retries=0)
async def pay(card: str, user: str, url: str) -> None:
    logger.info("mark-paying", card=card, user=user, url=url)
    raise ConnectionError(f"mark-unpaid for {user}: {url}")


@health_check("mark-check")
async def check() -> None:
    raise ConnectionError(f"mark-unhealthy: {URL}")


infra = Infra(jobs=[pay], health_checks=[check], email_from="s@example.com")


async def handler(scope, receive, send):
    with suppress(LookupError), start_span("mark-step", attributes={"password": PASSWORD, "url": URL}) as span:
        span.add_event("mark-event", {"token": PASSWORD, "card": CARD})
        raise LookupError(f"mark-lost: {URL}")
    increment("mark_orders", {"shop": "mark-shop"})
    logger.warning("mark-handling", headers=scope["headers"], password=PASSWORD)
    await pay.enqueue(CARD, MAIL, URL)
    await send_email(to=MAIL, subject="Hello", body=URL)
    raise RuntimeError(f"mark-failed for {MAIL}: {URL}")


app = InfraMiddleware(handler, infra)


async def main():
    headers = [
        ("x-request-id", "mark-request"),
        ("authorization", f"Bearer {PASSWORD}"),
        ("cookie", f"sid={PASSWORD}"),
        ("baggage", f"session_token={PASSWORD}"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ]
    async with infra:
        for path in ("/mark-path", f"/u/{MAIL}", "/health", "/metrics", "/readyz"):
            with suppress(RuntimeError):
                answer = await call(app, http_scope(path, headers=headers, query_string=f"token={PASSWORD}".encode()))
                print(answer.status, answer.body.decode())
        with suppress(Exception):
            await infra.queue.worker().drain()
        await infra.health.run()
        print(infra, infra.settings, infra.describe())


anyio.run(main)
"""
COMMANDS = (
    ("trace",),
    ("trace", "--json"),
    ("trace", "mark-request"),
    ("trace", "mark-request", "--json"),
    ("logs",),
    ("logs", "--json"),
)
EXEMPT = ("queue.db", "inbox")
"""Below the home: what a worker needs, and the mail itself."""


async def drive(world: World) -> None:
    (world.home / "program.py").write_text(PROGRAM)
    async with receiving() as sentry, recorder() as collector:
        collector.respond = lambda request: answer(200, {})
        environ = {
            "PASSWORD": world.secret("app.password"),
            "CARD": world.secret("job.card"),
            "MAIL": world.secret("job.email"),
            "SENTRY_DSN": sentry.dsn.replace(PUBLIC_KEY, world.secret("app.dsn")),
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://127.0.0.1:{collector.port}/v1/traces",
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS": f"x-api-key={world.secret('app.header')}",
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json",
            "LOG_LEVEL": "debug",
            "LOG_FORMAT": "json",
        }
        done = await anyio.to_thread.run_sync(functools.partial(_run, world.home, environ))
        world.take("output", done.stdout, done.stderr)
        assert done.returncode == 0, done.stderr[-2_000:]
        world.take("exported", *(request.body for request in collector.requests))
        world.take("envelopes", sentry.text)
        assert collector.requests
        assert sentry.events
    for arguments in COMMANDS:
        told = await anyio.to_thread.run_sync(functools.partial(run, *arguments, cwd=world.home))
        world.take(" ".join(["undercroft", *arguments]), told.stdout, told.stderr)
    for path in (world.home / ".undercroft").rglob("*"):
        if path.is_file() and not any(name in str(path) for name in EXEMPT):
            world.take(f"the file {path.name}", path.read_bytes())
    world.expect("mark-request", "mark-paying", "mark-unpaid", "mark-unhealthy", "mark-event", "mark_orders_total")
    world.expect("mark-handling", "mark-failed", "mark-step", "mark-lost")


def _run(home: Path, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "program.py"],
        cwd=home,
        env={**os.environ, **environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
