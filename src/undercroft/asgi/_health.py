"""`/livez`, `/readyz`, `/startupz` and `/health`, as `undercroft.health.answer_probe` says.

Messages of checks quote hosts and SQL, so production does not show them.
"""

from __future__ import annotations

from undercroft._core.codec import to_json
from undercroft.app import Infra
from undercroft.asgi._types import ASGIApp, Receive, Scope, Send, respond
from undercroft.health import PROBE_PATHS, answer_probe


def health_path(scope: Scope) -> str | None:
    """Return which of the health paths a request asks for, if any."""
    if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
        return None
    path, mount = scope["path"], scope.get("root_path", "").rstrip("/")
    if mount and path.startswith(f"{mount}/"):  # a server puts the mount before the path, others leave it out
        path = path.removeprefix(mount)
    return path if path in PROBE_PATHS else None


def health_app(path: str, infra: Infra) -> ASGIApp:
    """Return an application that answers one of the health paths."""

    async def serve(scope: Scope, _: Receive, send: Send) -> None:
        answer = await answer_probe(
            path,
            infra.health,
            is_open=infra.is_open,
            details=not infra.settings.is_production,
            query=scope.get("query_string", b"").decode("latin-1"),
            accept=_accept(scope),
        )
        headers = [(b"content-type", answer.content_type.encode()), (b"cache-control", b"no-store")]
        if path == "/health":
            headers.append((b"vary", b"accept"))
        await respond(scope, send, status=answer.status, headers=headers, body=to_json(answer.document))

    return serve


def _accept(scope: Scope) -> str:
    lines = [value for key, value in scope.get("headers", ()) if key.lower() == b"accept"]
    return bytes(b",".join(lines)).decode("latin-1")
