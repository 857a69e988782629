"""What an `Infra` tells of itself and of the application: lines, spans, metrics, errors, and whether it lives.

The process has one logging, one tracing and one registry of metrics; an `Infra` sets them up for as long as it is open.
"""

from __future__ import annotations

import logging as stdlib_logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import anyio.to_thread

from undercroft._core.clock import Clock
from undercroft._core.errors import ConfigError, near_names
from undercroft._core.lifecycle import Part
from undercroft._core.url import HIDDEN
from undercroft.app._counts import LineCounts, collect_parts
from undercroft.app._settings import Settings
from undercroft.app._vitals import Vitals
from undercroft.health import HealthBeacon
from undercroft.logging import Logger, Sampling, is_secret, redact, redact_pii, redact_text, setup_logging
from undercroft.monitoring import (
    Attachment,
    ErrorTracker,
    MetricsDirectoryError,
    RecentStore,
    SpanProcessor,
    attach,
    registry,
    setup_tracing,
)

if TYPE_CHECKING:
    from undercroft.app._infra import Infra
    from undercroft.logging.sentry import SentryBridge
    from undercroft.monitoring.otlp import OtlpExporter

_log = Logger(module="undercroft.app")


class Observability:
    """The parts of one `Infra` that tell what happens. Built without I/O; opened and closed by the `Infra`."""

    def __init__(self, settings: Settings, clock: Clock, *, attempt: Callable[[Callable[[], Any]], Any]) -> None:
        self._settings = settings
        self.metrics_problem: str | None = None
        """Why metrics are not shared, although nobody wanted it so; found out when this is opened."""
        self._clock = clock
        self.errors = ErrorTracker(redact=redact_pii, clock=clock)
        self._vitals = Vitals(clock)
        self.recent: RecentStore | None = attempt(lambda: _recent_of(settings, clock))
        self._exporter: OtlpExporter | None = attempt(lambda: _exporter_of(settings))
        self._sentry: SentryBridge | None = attempt(lambda: _sentry_of(settings, clock))
        attempt(lambda: _metrics_directory(settings))

    @property
    def needs_home(self) -> bool:
        """Whether something cannot do without the home directory."""
        return self.recent is not None and self._settings.recent.origin == "default"

    def lost(self) -> Iterator[tuple[str, int]]:
        """Yield how much did not reach whom it was for."""
        if self.recent is not None:
            yield "recent", self.recent.dropped_count
        if self._exporter is not None:
            yield "otlp", self._exporter.counts.dropped
        if self._sentry is not None:
            yield "sentry", self._sentry.counts.skipped + self._sentry.counts.failed

    def parts(self) -> Iterator[Part]:
        """Yield what is to be opened, in order; what is told while the later ones close reaches the earlier ones."""
        yield "metrics", self._metrics()
        if self.recent is not None:
            yield "recent", self.recent
        yield "logging", self._logging()
        yield "tracing", self._tracing()
        if self._sentry is not None:
            yield "sentry", cast("AbstractAsyncContextManager[object]", self._sentry)

    def telling_parts(self, infra: Infra, kind: str) -> Iterator[Part]:
        """Yield what tells how the open `infra` is, in a process of this kind: metrics, and a file in its home."""
        yield "vitals", self._vitals.watching()
        yield "figures", self._figures(infra)
        if self._settings.env.value != "test":
            directory = self._settings.home.value / "health"
            lag = self._vitals.lag
            yield (
                "beacon",
                HealthBeacon(directory, infra.health, kind=kind, extra=infra.queue.work, lag=lag, clock=self._clock),
            )

    @asynccontextmanager
    async def _figures(self, infra: Infra) -> AsyncIterator[None]:
        end = collect_parts(infra)
        try:
            yield
        finally:
            end()

    @asynccontextmanager
    async def _metrics(self) -> AsyncIterator[None]:
        attachment, ours = await self._attach(), registry()
        redact_before, ours.redact = ours.redact, ours.redact or _redacted
        try:
            yield
        finally:
            ours.redact = redact_before
            if attachment is not None:
                attachment.detach()

    async def _attach(self) -> Attachment | None:
        directory = _metrics_directory(self._settings)
        if directory is None:
            return None
        try:
            return await anyio.to_thread.run_sync(attach, directory)  # which may wait for others
        except MetricsDirectoryError as exc:
            if self._settings.metrics.origin != "default":
                raise
            # Nobody asked for it, and a read-only disk must not keep an application from starting.
            self.metrics_problem = f"metrics are of each process alone: {exc.message}"
            _log.warning("metrics are of this process alone", reason=exc.message, hint=exc.hint)
        return None

    @asynccontextmanager
    async def _logging(self) -> AsyncIterator[None]:
        if stdlib_logging.getLogger().handlers:  # the application has set it up itself
            yield
            return
        settings, counts = self._settings, LineCounts()
        setup = setup_logging(
            level=settings.log_level.value,
            format=settings.log_format.value,
            fields={"service": settings.service.value} if settings.service.value else None,
            sampling=Sampling(rate=settings.log_sample.value) if settings.log_sample.value < 1 else None,
            also=None if self.recent is None else self.recent.on_line,
            count=counts,
        )
        try:
            yield
        finally:
            await setup.aclose()

    @asynccontextmanager
    async def _tracing(self) -> AsyncIterator[None]:
        self._exporter = _exporter_of(self._settings)  # a new one: it has one life, and an `Infra` may have several
        wanted: tuple[SpanProcessor | None, ...] = (self.recent, self._exporter)
        processors = [processor for processor in wanted if processor is not None]
        setup = setup_tracing(
            processors=processors,
            sampler=self._settings.traces_sampler.value,
            redact=_redacted,
            opentelemetry="auto",
        )
        async with setup:
            yield


def _redacted(name: str, value: object) -> object:
    """Hide a value by its name, or by what it looks like."""
    if is_secret(name, value):
        return HIDDEN
    return redact_text(value) if isinstance(value, str) else redact(value)


def _recent_of(settings: Settings, clock: Clock) -> RecentStore | None:
    url = settings.recent.value
    return None if url is None else RecentStore.from_url(url, what=settings.recent.origin, clock=clock)


def _exporter_of(settings: Settings) -> OtlpExporter | None:
    export = settings.traces.value
    if export is None:
        return None
    from undercroft.monitoring.otlp import OtlpExporter  # brings httpx2

    resource: dict[str, object] = {"deployment.environment.name": settings.env.value}
    if settings.service.value is not None:
        resource["service.name"] = settings.service.value
    if settings.release.value is not None:
        resource["service.version"] = settings.release.value
    return OtlpExporter.from_environ(export.variables(), resource=resource)


def _sentry_of(settings: Settings, clock: Clock) -> SentryBridge | None:
    dsn = settings.sentry.value
    if dsn is None:
        return None
    from undercroft.logging.sentry import SentryBridge  # brings sentry-sdk

    return SentryBridge(
        dsn.reveal(),
        environment=settings.env.value,
        release=settings.release.value,
        clock=clock,
        what=settings.sentry.origin,
    )


def _metrics_directory(settings: Settings) -> str | None:
    url, origin = settings.metrics.value, settings.metrics.origin
    if url.scheme == "memory":
        return None
    if url.scheme != "mmap":
        raise ConfigError(
            f"{origin}: metrics are not kept at {url.scheme}://",
            near=near_names(url.scheme, ("memory", "mmap")),
            hint="mmap:///directory for all processes of the machine together, memory:// for each by itself",
        )
    return url.file_path(what=origin)
