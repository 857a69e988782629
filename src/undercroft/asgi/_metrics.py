"""`/metrics`, as `undercroft.monitoring.answer_scrape` says.

Where `UNDERCROFT_METRICS_TOKEN` is set, whoever asks must send it as a bearer token.
"""

from __future__ import annotations

from undercroft.app import Infra
from undercroft.asgi._types import ASGIApp, Receive, Scope, Send, headers_of, respond, sole_header
from undercroft.monitoring import answer_scrape


def metrics_app(infra: Infra) -> ASGIApp:
    """Return an application that answers `/metrics`."""

    async def serve(scope: Scope, _: Receive, send: Send) -> None:
        token = infra.settings.metrics_token.value
        answer = await answer_scrape(
            accept=", ".join(headers_of(scope, b"accept")),
            authorization=sole_header(scope, b"authorization") or "",
            token=None if token is None else token.reveal(),
        )
        headers = [(b"content-type", answer.content_type.encode())]
        headers += [(name.encode(), value.encode()) for name, value in answer.headers.items()]
        await respond(scope, send, status=answer.status, headers=headers, body=answer.body)

    return serve
