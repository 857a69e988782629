"""`/metrics`: what all processes of this machine that share a directory have counted, as Prometheus reads it.

In its text format, or as OpenMetrics to those who ask for that (with exemplars). Where `UNDERCROFT_METRICS_TOKEN` is
set, whoever asks must send it as a bearer token (RFC 6750).
"""

from __future__ import annotations

import hmac

import anyio.to_thread

from undercroft.app import Infra
from undercroft.asgi._types import ASGIApp, Receive, Scope, Send, headers_of, respond, sole_header
from undercroft.monitoring import negotiate

METRICS_PATH = "/metrics"


def metrics_app(infra: Infra) -> ASGIApp:
    """Return an application that answers `/metrics`."""

    async def serve(scope: Scope, _: Receive, send: Send) -> None:
        if not _may_scrape(scope, infra):
            challenge = [(b"www-authenticate", b'Bearer realm="metrics"'), (b"content-type", b"text/plain")]
            await respond(scope, send, status=401, headers=challenge, body=b"the bearer token is missing or wrong\n")
            return
        render, content_type = negotiate(", ".join(headers_of(scope, b"accept")))
        # Files of many processes are read, and thousands of series written: not in the event loop.
        body = (await anyio.to_thread.run_sync(render)).encode()
        headers = [(b"content-type", content_type.encode()), (b"cache-control", b"no-store"), (b"vary", b"accept")]
        await respond(scope, send, status=200, headers=headers, body=body)

    return serve


def _may_scrape(scope: Scope, infra: Infra) -> bool:
    token = infra.settings.metrics_token.value
    if token is None:
        return True
    kind, _, given = (sole_header(scope, b"authorization") or "").partition(" ")
    return kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.reveal().encode())
