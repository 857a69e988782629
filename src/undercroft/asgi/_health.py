"""`/livez`, `/readyz`, `/startupz` and `/health`, as `undercroft.health.answer_probe` says.

Messages of checks quote hosts and SQL, so production does not show them.
"""

from __future__ import annotations

from undercroft._core.codec import to_json
from undercroft.app import Infra
from undercroft.asgi._types import ASGIApp, Receive, Scope, Send, headers_of, respond
from undercroft.health import answer_probe


def health_app(path: str, infra: Infra) -> ASGIApp:
    """Return an application that answers one of the health paths."""

    async def serve(scope: Scope, _: Receive, send: Send) -> None:
        answer = await answer_probe(
            path,
            infra.health,
            is_open=infra.is_open,
            details=not infra.settings.is_production,
            query=scope.get("query_string", b"").decode("latin-1"),
            accept=", ".join(headers_of(scope, b"accept")),
        )
        headers = [(b"content-type", answer.content_type.encode()), (b"cache-control", b"no-store")]
        if path == "/health":
            headers.append((b"vary", b"accept"))
        await respond(scope, send, status=answer.status, headers=headers, body=to_json(answer.document))

    return serve
