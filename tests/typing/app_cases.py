from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any, assert_type

from fastapi import FastAPI
from litestar import Litestar
from starlette.applications import Starlette

from undercroft import Infra, current
from undercroft.app import Finding, PartDescription, Setting, Settings, Severity
from undercroft.asgi import ASGIApp, InfraMiddleware, Message, Problem, Receive, Scope, Send, note_error, problem_of
from undercroft.cache import Cache, CacheBackend
from undercroft.contrib.litestar import UndercroftPlugin
from undercroft.email import Email, OutgoingEmail, SendReceipt, Transport
from undercroft.health import HealthChecks, health_check
from undercroft.queue import Queue, job, open_engine
from undercroft.ratelimit import RateLimits, RatePolicy, SlidingWindow
from undercroft.resilience import Breakers, Locks, Sagas
from undercroft._core.clock import VirtualClock
from undercroft._core.errors import UndercroftError
from undercroft._core.url import Url


@job("tidy")
async def tidy() -> None: ...


@health_check("database")
async def database() -> None: ...


def transport() -> Transport:
    raise NotImplementedError


def memory_cache() -> CacheBackend:
    raise NotImplementedError


# making
Infra()
Infra(jobs="shop.jobs")
Infra(jobs=tidy)
Infra(jobs=["shop.jobs", tidy, ModuleType("shop")], health_checks=[database])
Infra(queue="sqlite:///jobs.db", email="inbox:///mail", email_from="Shop <shop@example.com>")
Infra(queue=open_engine(Url.parse("sqlite:///jobs.db"), what="queue"), email=transport())
Infra(env="production", home="/srv/shop", log_level="info", log_format="json")
Infra(home=Path("/srv/shop"), email_templates=["emails", Path("more")], close_timeout="30s")
Infra(close_timeout=30)
Infra(close_timeout=timedelta(seconds=30), email_templates="emails")
Infra(environ={"LOG_LEVEL": "debug"}, clock=VirtualClock())
Infra([tidy])  # E: call-arg
Infra(jobs=5)  # E: arg-type
Infra(jobs=[database])  # E: list-item
Infra(health_checks=[tidy])  # E: list-item
Infra(queue=transport())  # E: arg-type
Infra(email=5)  # E: arg-type
Infra(close_timeout=[])  # E: arg-type
Infra(environ={"LOG_LEVEL": 5})  # E: dict-item
Infra(cashe="memory://")  # E: call-arg
Infra(cache=transport())  # E: arg-type
Infra(locks=memory_cache())  # E: arg-type
Infra(cache=memory_cache(), cache_ttl="5m", locks="memory://", limits="memory://", breakers="memory://")
Infra(sagas=[tidy])  # E: list-item
Infra(rate_policies=[RatePolicy("api", [SlidingWindow(5, "1m")])])


# using
async def using(infra: Infra) -> None:
    async with infra as opened:
        assert_type(opened, Infra)
    with infra.bind() as bound:
        assert_type(bound, Infra)
    with infra:  # E: attr-defined
        pass
    await infra.open()
    assert_type(infra.is_open, bool)
    await infra.close()
    assert_type(infra.queue, Queue)
    assert_type(infra.email, Email)
    assert_type(infra.health, HealthChecks)
    assert_type(infra.settings, Settings)
    assert_type(current(), Infra)
    assert_type(infra.cache, Cache[Any])
    assert_type(infra.locks, Locks)
    assert_type(infra.limits, RateLimits)
    assert_type(infra.breakers, Breakers)
    assert_type(infra.sagas, Sagas)
    infra.cashe  # E: attr-defined
    infra.is_open = True  # E: misc


async def looking(infra: Infra) -> None:
    assert_type(infra.describe(), list[PartDescription])
    findings = await infra.check(connect=False)
    assert_type(findings, list[Finding])
    assert_type(findings[0].severity, Severity)
    await infra.check(False)  # E: call-arg
    findings[0].message = ""  # E: misc


assert_type(Infra().override(jobs=[tidy], close_timeout=5), Infra)
Infra().override(queue=None, home=Path("x"))
Infra().override(cache="memory://")
Infra().override(cashe="memory://")  # E: call-arg
Infra().override(jobs=5)  # E: arg-type
Infra().override([tidy])  # E: call-arg


# settings
settings = Settings.read({"LOG_LEVEL": "debug"}, {"queue": "sqlite:///x"})
assert_type(settings, Settings)
assert_type(settings.queue, Setting[Url | None])
assert_type(settings.home.value, Path)
assert_type(settings.close_timeout.value, float)
assert_type(settings.queue.origin, str)
assert_type(settings.is_production, bool)
settings.home = settings.home  # E: misc
Settings.read({"LOG_LEVEL": 5})  # E: dict-item


# at the edge
async def application(scope: Scope, receive: Receive, send: Send) -> None:
    message: Message = await receive()
    await send(message)
    note_error(scope, RuntimeError())
    note_error(scope, "a text")  # E: arg-type


app: ASGIApp = InfraMiddleware(application, Infra())
again: ASGIApp = InfraMiddleware(app, Infra(), health=False)
InfraMiddleware(application, Infra(), False)  # E: call-arg
InfraMiddleware(application)  # E: call-arg
InfraMiddleware(5, Infra())  # E: arg-type
assert_type(problem_of(UndercroftError("x"), show_details=False), Problem)
problem_of(UndercroftError("x"))  # E: call-arg
problem_of(RuntimeError("x"), show_details=True)  # E: arg-type


# under a framework
InfraMiddleware(Starlette(), Infra())
InfraMiddleware(FastAPI(), Infra())
InfraMiddleware(Litestar(plugins=[UndercroftPlugin()]), Infra())
Starlette().add_middleware(InfraMiddleware, infra=Infra())
FastAPI().add_middleware(InfraMiddleware, infra=Infra(), health=False)
FastAPI().add_middleware(InfraMiddleware)  # E: call-arg


class Own:
    name = "own"
    default_from: str | None = None
    is_idempotent = False

    async def send(self, message: OutgoingEmail) -> SendReceipt:
        raise NotImplementedError

    async def ping(self) -> None: ...

    async def __aenter__(self) -> Own:
        return self

    async def __aexit__(self, *exc_info: object) -> None: ...


Infra(email=Own())
