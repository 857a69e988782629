"""The arguments of an `Infra` as one type, for what passes them on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypedDict

from undercroft._core.clock import Clock
from undercroft._core.durations import Duration
from undercroft.app._jobs import CronSource, JobSource, SagaSource
from undercroft.cache import CacheBackend, LocalTier
from undercroft.connections.pubsub import Subscription, Topic
from undercroft.email import Transport
from undercroft.health import HealthCheck
from undercroft.logging import Secret
from undercroft.queue import Engine
from undercroft.ratelimit import LimitStore, RatePolicy
from undercroft.resilience import BreakerStore, LockStore


class InfraArguments(TypedDict, total=False):
    """Every argument of `Infra`; said there."""

    jobs: JobSource | Iterable[JobSource]
    crons: CronSource | Iterable[CronSource]
    sagas: SagaSource | Iterable[SagaSource]
    rate_policies: Iterable[RatePolicy]
    health_checks: Iterable[HealthCheck]
    queue: str | Engine | None
    cache: str | CacheBackend | None
    cache_local: LocalTier | None
    cache_namespace: str | None
    cache_ttl: Duration | None
    locks: str | LockStore | None
    limits: str | LimitStore | None
    breakers: str | BreakerStore | None
    email: str | Transport | None
    email_from: str | None
    email_templates: str | Path | Iterable[str | Path] | None
    env: str | None
    home: str | Path | None
    service: str | None
    release: str | None
    log_level: str | None
    log_format: str | None
    log_sample: float | None
    metrics: str | None
    metrics_token: str | Secret[str] | None
    recent: str | None
    traces: str | None
    traces_sampler: str | None
    sentry: str | Secret[str] | None
    database: str | None
    database_replica: str | None
    redis: str | None
    mongo: str | None
    pubsub: str | None
    topics: Iterable[Topic[Any]]
    subscriptions: Iterable[Subscription[Any, Any]]
    close_timeout: Duration | None
    start_timeout: Duration | None
    process: str | None
    environ: Mapping[str, str] | None
    clock: Clock | None
