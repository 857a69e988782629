"""The HTTP edge: one middleware for any ASGI application.

    from undercroft import Infra
    from undercroft.asgi import InfraMiddleware

    infra = Infra(jobs="shop.jobs")
    app = InfraMiddleware(FastAPI(), infra)          # or app.add_middleware(InfraMiddleware, infra=infra)

Under it, every request has an id and a trace that its log lines, jobs and emails carry, the functions of every module's
face find the `Infra`, and `/livez`, `/readyz` and `/health` answer. For Litestar see `undercroft.contrib.litestar`.
"""

from undercroft.asgi._access import note_error
from undercroft.asgi._middleware import InfraMiddleware
from undercroft.asgi._problem import Problem, problem_of
from undercroft.asgi._route import note_route
from undercroft.asgi._types import ASGIApp, Message, Receive, Scope, Send

__all__ = [
    "ASGIApp",
    "InfraMiddleware",
    "Message",
    "Problem",
    "Receive",
    "Scope",
    "Send",
    "note_error",
    "note_route",
    "problem_of",
]
