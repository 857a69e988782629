"""The HTTP edge: one middleware for any ASGI application.

    from undercroft import Infra
    from undercroft.asgi import InfraMiddleware

    infra = Infra(jobs="shop.jobs")
    app = InfraMiddleware(FastAPI(), infra)          # or app.add_middleware(InfraMiddleware, infra=infra)

Under it, every request has an id and a trace that its log lines, jobs and emails carry, the functions of every module's
face find the `Infra`, and `/livez`, `/readyz` and `/health` answer. For Litestar see `undercroft.contrib.litestar`.

    app = InfraMiddleware(RateLimitGuard(FastAPI(), rules=[auth_rule("/login"), api_rule("/api")]), infra)

limits who may ask how often, `@rate_limit("5/15m")` does so for one route, and `DDoSProtection` stands before floods.
"""

from typing import TYPE_CHECKING

from undercroft._core.faces import load_late
from undercroft.asgi._access import note_error
from undercroft.asgi._middleware import InfraMiddleware
from undercroft.asgi._problem import Problem, problem_of
from undercroft.asgi._route import note_route
from undercroft.asgi._types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from undercroft.asgi._guard._address import ClientAddress
    from undercroft.asgi._guard._ddos import DDoSProtection
    from undercroft.asgi._guard._errors import (
        ClientBlockedError,
        ClientDeniedError,
        GuardConfigError,
        NotInRequestError,
        OverloadedError,
        QuotaExceededError,
        TooCostlyError,
    )
    from undercroft.asgi._guard._fields import RateLimitInfo, rate_limit_headers
    from undercroft.asgi._guard._guard import RateLimitGuard
    from undercroft.asgi._guard._keys import KeyFunction, by_api_key, by_ip, by_path, by_user, combined
    from undercroft.asgi._guard._lists import Clients
    from undercroft.asgi._guard._parse import parse_rate_limit_headers, parse_retry_after
    from undercroft.asgi._guard._penalty import PenaltyBox
    from undercroft.asgi._guard._route import bypass_rate_limit, rate_limit, rate_limited
    from undercroft.asgi._guard._rules import LimitRule, api_rule, auth_rule

# Loaded on first use: whoever limits nothing does not pay for it.
__getattr__ = load_late(
    __name__,
    {
        "_guard._address": ("ClientAddress",),
        "_guard._ddos": ("DDoSProtection",),
        "_guard._errors": (
            "ClientBlockedError",
            "ClientDeniedError",
            "GuardConfigError",
            "NotInRequestError",
            "OverloadedError",
            "QuotaExceededError",
            "TooCostlyError",
        ),
        "_guard._fields": (
            "RateLimitInfo",
            "rate_limit_headers",
        ),
        "_guard._guard": ("RateLimitGuard",),
        "_guard._keys": (
            "KeyFunction",
            "by_api_key",
            "by_ip",
            "by_path",
            "by_user",
            "combined",
        ),
        "_guard._lists": ("Clients",),
        "_guard._parse": (
            "parse_rate_limit_headers",
            "parse_retry_after",
        ),
        "_guard._penalty": ("PenaltyBox",),
        "_guard._route": (
            "bypass_rate_limit",
            "rate_limit",
            "rate_limited",
        ),
        "_guard._rules": (
            "LimitRule",
            "api_rule",
            "auth_rule",
        ),
    },
)

__all__ = [
    "ASGIApp",
    "ClientAddress",
    "ClientBlockedError",
    "ClientDeniedError",
    "Clients",
    "DDoSProtection",
    "GuardConfigError",
    "InfraMiddleware",
    "KeyFunction",
    "LimitRule",
    "Message",
    "NotInRequestError",
    "OverloadedError",
    "PenaltyBox",
    "Problem",
    "QuotaExceededError",
    "RateLimitGuard",
    "RateLimitInfo",
    "Receive",
    "Scope",
    "Send",
    "TooCostlyError",
    "api_rule",
    "auth_rule",
    "by_api_key",
    "by_ip",
    "by_path",
    "by_user",
    "bypass_rate_limit",
    "combined",
    "note_error",
    "note_route",
    "parse_rate_limit_headers",
    "parse_retry_after",
    "problem_of",
    "rate_limit",
    "rate_limit_headers",
    "rate_limited",
]
