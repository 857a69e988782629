"""`/livez`, `/readyz` and `/health`.

`/livez` says that the process answers; it asks no dependency, so that a database outage does not restart the world.
`/readyz` says whether to send traffic here: 503 when a critical check is unhealthy, or while opening and closing.
`/health` is the whole report. Messages of checks quote hosts and SQL, so production does not show them.
"""

from __future__ import annotations

from undercroft._core.codec import to_json
from undercroft.app import Infra
from undercroft.asgi._types import ASGIApp, Receive, Scope, Send, respond

PATHS = ("/livez", "/readyz", "/health")
_HEADERS = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]


def health_path(scope: Scope) -> str | None:
    """Return which of the health paths a request asks for, if any."""
    if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
        return None
    path, mount = scope["path"], scope.get("root_path", "").rstrip("/")
    if mount and path.startswith(f"{mount}/"):  # a server puts the mount before the path, others leave it out
        path = path.removeprefix(mount)
    return path if path in PATHS else None


def health_app(path: str, infra: Infra) -> ASGIApp:
    """Return an application that answers one of the health paths."""

    async def answer(scope: Scope, _: Receive, send: Send) -> None:
        status, document = await _answer(path, infra)
        await respond(scope, send, status=status, headers=_HEADERS, body=to_json(document))

    return answer


async def _answer(path: str, infra: Infra) -> tuple[int, dict[str, object]]:
    if path == "/livez":
        return 200, {"status": "healthy"}
    if not infra.is_open:
        return 503, {"status": "unhealthy", "message": "not open: starting, stopping, or never opened"}
    report = await infra.health.run()
    document = report.to_dict(details=not infra.settings.is_production)
    return 200 if report.is_ready else 503, {"status": document["status"]} if path == "/readyz" else document
