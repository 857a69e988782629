"""The configuration of an application: every value, and where it came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from undercroft._core.errors import ConfigError, InvalidSettingsError
from undercroft._core.url import Url
from undercroft.app._environment import Environment, Setting
from undercroft.app._parsers import (
    as_duration,
    as_email_url,
    as_log_level,
    as_name,
    as_optional_url,
    as_path,
    as_paths,
    as_secret,
    as_sender,
    as_share,
    as_url,
    mysql_parser,
    one_of,
    pubsub_parser,
    sampler_parser,
    traces_parser,
)
from undercroft.app._trace_export import ENDPOINTS, OTHERS, TraceExport
from undercroft.logging import Secret
from undercroft.monitoring import ParentBased, Sampler

ENVIRONMENTS = ("development", "production", "test")
PROCESSES = ("all", "api", "worker")
LOG_FORMATS = ("auto", "ecs", "json", "otel", "text")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an `Infra` is built from. Immutable; `repr` hides secrets.

    Each field is also an argument of `Infra`, which comes before its variables. The page on configuration is checked
    against what the fields say here.
    """

    env: Setting[str]
    """Where this runs: `development`, `test` or `production`. From `UNDERCROFT_ENV`. Default `development`."""
    home: Setting[Path]
    """The directory where the embedded engines keep their files. From `UNDERCROFT_HOME`. Default `.undercroft`."""
    queue: Setting[Url | None]
    """The URL of the queue's engine; `None` when an engine was handed in. From `UNDERCROFT_QUEUE`, then `REDIS_URL`.
    Default `sqlite:///.undercroft/queue.db` (in the home)."""
    cache: Setting[Url]
    """The URL of the cache's store. From `UNDERCROFT_CACHE`, then `REDIS_URL`. Default `sqlite:///.undercroft/cache.db`
    (in the home; opened at first use)."""
    cache_namespace: Setting[str]
    """What keeps the cache apart from others in the same store. From `UNDERCROFT_CACHE_NAMESPACE`. Default `app`."""
    cache_ttl: Setting[float | None]
    """How long cached values live whose call says nothing, `5m`; without it every call has to say. From
    `UNDERCROFT_CACHE_TTL`. Default none."""
    locks: Setting[Url]
    """The URL of the store of locks. From `UNDERCROFT_LOCKS`, then `REDIS_URL`. Default
    `sqlite:///.undercroft/locks.db` (in the home; opened at first use)."""
    limits: Setting[Url]
    """The URL of the store of rate limits. From `UNDERCROFT_LIMITS`, then `REDIS_URL`. Default
    `sqlite:///.undercroft/limits.db` (in the home; opened at first use)."""
    breakers: Setting[Url]
    """The URL of the store of shared circuit breakers. From `UNDERCROFT_BREAKERS`, then `REDIS_URL`. Default
    `sqlite:///.undercroft/breakers.db` (in the home; opened at first use)."""
    email: Setting[Url | None]
    """The URL of the mail's transport; `None` when a transport was handed in. From `UNDERCROFT_EMAIL`, then
    `RESEND_API_KEY` (a key, no URL), then `SMTP_URL`. Default `inbox:///.undercroft/inbox` (in the home)."""
    database: Setting[Url | None]
    """The URL of the SQL database. From `UNDERCROFT_DATABASE`, then `DATABASE_URL`, then `MYSQL_HOST` (with
    `MYSQL_PORT`, `MYSQL_USER`, `MYSQL_PASSWORD` and `MYSQL_DATABASE`). Default `sqlite:///.undercroft/app.db` (in the
    home; opened at first use)."""
    database_replica: Setting[Url | None]
    """The URL of a replica that `read_session()` reads. From `UNDERCROFT_DATABASE_REPLICA`, then
    `DATABASE_REPLICA_URL`. Default none."""
    redis: Setting[Url | None]
    """The URL of Redis. From `UNDERCROFT_REDIS`, then `REDIS_URL`. Default none."""
    mongo: Setting[Url | None]
    """The URL of MongoDB. From `UNDERCROFT_MONGO`, then `MONGODB_URI`. Default none."""
    pubsub: Setting[Url | None]
    """The URL of Pub/Sub. From `UNDERCROFT_PUBSUB`, then `PUBSUB_PROJECT_ID` (a project, no URL; with
    `PUBSUB_EMULATOR_HOST`). Default `memory://` (this process)."""
    email_from: Setting[str | None]
    """The sender of mail that names none, `shop@example.com` or `Shop <shop@example.com>`. From `EMAIL_FROM`. Default
    none; the inbox takes `noreply@localhost`."""
    email_templates: Setting[tuple[Path, ...]]
    """The directories of templates, separated as in `PATH`. From `UNDERCROFT_EMAIL_TEMPLATES`. Default
    `emails:content/locales/{locale}/emails`."""
    service: Setting[str | None]
    """What the application is called in log lines, spans and reports. From `SERVICE_NAME`, then `OTEL_SERVICE_NAME`.
    Default none."""
    release: Setting[str | None]
    """Which version of the application this is, in health documents, spans and reports. From `UNDERCROFT_RELEASE`, then
    `SENTRY_RELEASE`. Default none."""
    log_level: Setting[str]
    """The least level that is logged: `trace`, `debug`, `info`, `warning`, `error` or `critical`. From `LOG_LEVEL`.
    Default `info`."""
    log_format: Setting[str]
    """How lines are written: `text`, `json`, `ecs` and `otel` (JSON under their names), or `auto`, which is text on a
    terminal. From `LOG_FORMAT`. Default `auto`."""
    log_sample: Setting[float]
    """The share of requests and jobs whose lines below warning are written, 0 to 1. From `LOG_SAMPLE`. Default `1`."""
    metrics: Setting[Url]
    """Where the machine's processes count together, `mmap:///directory`; or `memory://`, each by itself. From
    `UNDERCROFT_METRICS`. Default `mmap:///.undercroft/metrics` (in the home; `memory://` where `env` is `test`)."""
    metrics_token: Setting[Secret[str] | None]
    """What a scraper of `/metrics` must send as its bearer token. From `UNDERCROFT_METRICS_TOKEN`. Default none."""
    recent: Setting[Url | None]
    """Where recent spans and lines are kept for `undercroft trace` and `undercroft logs`; `none` keeps none. From
    `UNDERCROFT_RECENT`. Default `sqlite:///.undercroft/recent.db` (in the home; none unless `env` is `development`)."""
    traces: Setting[TraceExport | None]
    """The endpoint that spans are exported to, by OTLP over HTTP. From `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, then
    `OTEL_EXPORTER_OTLP_ENDPOINT` (to which `/v1/traces` is added; with `OTEL_EXPORTER_OTLP_HEADERS`,
    `OTEL_EXPORTER_OTLP_TIMEOUT`, `OTEL_EXPORTER_OTLP_COMPRESSION`, `OTEL_EXPORTER_OTLP_PROTOCOL`, for traces alone
    `OTEL_EXPORTER_OTLP_TRACES_HEADERS`, `OTEL_EXPORTER_OTLP_TRACES_TIMEOUT`, `OTEL_EXPORTER_OTLP_TRACES_COMPRESSION`,
    `OTEL_EXPORTER_OTLP_TRACES_PROTOCOL`, and `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_EXPORTER`, `OTEL_SDK_DISABLED`).
    Default none."""
    traces_sampler: Setting[Sampler]
    """Which traces are recorded, in OpenTelemetry's words. From `OTEL_TRACES_SAMPLER` (with `OTEL_TRACES_SAMPLER_ARG`).
    Default `parentbased_always_on`."""
    sentry: Setting[Secret[str] | None]
    """The DSN of Sentry. From `SENTRY_DSN`. Default none."""
    close_timeout: Setting[float]
    """How long closing may take in all: `30`, `30s`, `1m`. From `UNDERCROFT_CLOSE_TIMEOUT`. Default `10s`."""
    start_timeout: Setting[float]
    """How long opening may wait in all for servers that are not up yet. From `UNDERCROFT_START_TIMEOUT`. Default
    `30s`."""
    process: Setting[str]
    """What this process does: `api` serves requests, `worker` runs jobs and subscriptions, `all` both. From
    `UNDERCROFT_PROCESS`, then `PROCESS_MODE`. Default `api`."""

    @property
    def runs_background(self) -> bool:
        """Whether jobs and subscriptions run inside this process, from opening to closing."""
        return self.process.value != "api"

    @property
    def is_production(self) -> bool:
        """Whether `UNDERCROFT_ENV` is `production`."""
        return self.env.value == "production"

    @classmethod
    def read(cls, variables: Mapping[str, str], arguments: Mapping[str, object] | None = None) -> Self:
        """Read every setting. Precedence: argument, `UNDERCROFT_<PART>`, the field's own variables, default.

        Args:
            arguments: By the names of the fields; `None` is absent.

        Raises:
            InvalidSettingsError: With every problem there is, not only the first.
        """
        settings, problems = cls.read_all(variables, arguments or {})
        if problems:
            raise InvalidSettingsError(problems)
        return settings

    @classmethod
    def read_all(
        cls, variables: Mapping[str, str], arguments: Mapping[str, object]
    ) -> tuple[Self, tuple[ConfigError, ...]]:
        """As `read`, and return the problems; a setting that has one takes its default."""
        environment = Environment(variables)

        def read(name: str, names: tuple[str, ...], parse: Callable[[Any, str], Any], default: Any) -> Any:
            return environment.read(names, parse, argument=(name, arguments.get(name)), default=default)

        env = read("env", ("UNDERCROFT_ENV",), one_of(ENVIRONMENTS), "development")
        home = read("home", ("UNDERCROFT_HOME",), as_path, Path(".undercroft"))
        settings = cls(
            env=env,
            home=home,
            queue=read("queue", ("UNDERCROFT_QUEUE", "REDIS_URL"), as_url, file_in(home.value, "queue")),
            cache=read("cache", ("UNDERCROFT_CACHE", "REDIS_URL"), as_url, file_in(home.value, "cache")),
            cache_namespace=read("cache_namespace", ("UNDERCROFT_CACHE_NAMESPACE",), as_name, "app"),
            cache_ttl=read("cache_ttl", ("UNDERCROFT_CACHE_TTL",), as_duration, None),
            locks=read("locks", ("UNDERCROFT_LOCKS", "REDIS_URL"), as_url, file_in(home.value, "locks")),
            limits=read("limits", ("UNDERCROFT_LIMITS", "REDIS_URL"), as_url, file_in(home.value, "limits")),
            breakers=read("breakers", ("UNDERCROFT_BREAKERS", "REDIS_URL"), as_url, file_in(home.value, "breakers")),
            email=read("email", ("UNDERCROFT_EMAIL", "RESEND_API_KEY", "SMTP_URL"), as_email_url, inbox_in(home.value)),
            database=read(
                "database",
                ("UNDERCROFT_DATABASE", "DATABASE_URL", "MYSQL_HOST"),
                mysql_parser(environment.companions(_MYSQL)),
                file_in(home.value, "app"),
            ),
            database_replica=read(
                "database_replica", ("UNDERCROFT_DATABASE_REPLICA", "DATABASE_REPLICA_URL"), as_url, None
            ),
            redis=read("redis", ("UNDERCROFT_REDIS", "REDIS_URL"), as_url, None),
            mongo=read("mongo", ("UNDERCROFT_MONGO", "MONGODB_URI"), as_url, None),
            pubsub=read(
                "pubsub",
                ("UNDERCROFT_PUBSUB", "PUBSUB_PROJECT_ID"),
                pubsub_parser(environment.companions(("PUBSUB_EMULATOR_HOST",))),
                Url(scheme="memory"),
            ),
            email_from=read("email_from", ("EMAIL_FROM",), as_sender, None),
            email_templates=read("email_templates", ("UNDERCROFT_EMAIL_TEMPLATES",), as_paths, _TEMPLATES),
            service=read("service", ("SERVICE_NAME", "OTEL_SERVICE_NAME"), as_name, None),
            release=read("release", ("UNDERCROFT_RELEASE", "SENTRY_RELEASE"), as_name, None),
            log_level=read("log_level", ("LOG_LEVEL",), as_log_level, "info"),
            log_format=read("log_format", ("LOG_FORMAT",), one_of(LOG_FORMATS), "auto"),
            log_sample=read("log_sample", ("LOG_SAMPLE",), as_share, 1.0),
            metrics=read("metrics", ("UNDERCROFT_METRICS",), as_url, metrics_in(home.value, env.value)),
            metrics_token=read("metrics_token", ("UNDERCROFT_METRICS_TOKEN",), as_secret, None),
            recent=read("recent", ("UNDERCROFT_RECENT",), as_optional_url, recent_in(home.value, env.value)),
            traces=read("traces", ENDPOINTS, traces_parser(environment.companions(OTHERS)), None),
            traces_sampler=read(
                "traces_sampler",
                ("OTEL_TRACES_SAMPLER",),
                sampler_parser(environment.companions(("OTEL_TRACES_SAMPLER_ARG",))),
                ParentBased(),
            ),
            sentry=read("sentry", ("SENTRY_DSN",), as_secret, None),
            close_timeout=read("close_timeout", ("UNDERCROFT_CLOSE_TIMEOUT",), as_duration, 10.0),
            start_timeout=read("start_timeout", ("UNDERCROFT_START_TIMEOUT",), as_duration, 30.0),
            process=read("process", ("UNDERCROFT_PROCESS", "PROCESS_MODE"), one_of(PROCESSES), "api"),
        )
        environment.require_all_known()
        return settings, tuple(environment.problems)


_TEMPLATES = (Path("emails"), Path("content/locales/{locale}/emails"))
_MYSQL = ("MYSQL_PORT", "MYSQL_USER", "MYSQL_PASSWORD", "MYSQL_DATABASE")


def file_in(home: Path, name: str) -> Url:
    """Return the URL of an embedded store in `home`, a SQLite file."""
    return Url(scheme="sqlite", path=f"/{home / name}.db")


def metrics_in(home: Path, env: str) -> Url:
    """Return the URL of the directory in `home` where the machine's processes count; tests count by themselves."""
    return Url(scheme="memory") if env == "test" else Url(scheme="mmap", path=f"/{home / 'metrics'}")


def recent_in(home: Path, env: str) -> Url | None:
    """Return the URL of the embedded store of recent spans and lines in `home`, where somebody looks at them."""
    return file_in(home, "recent") if env == "development" else None


def inbox_in(home: Path) -> Url:
    """Return the URL of the inbox in `home`."""
    return Url(scheme="inbox", path=f"/{home / 'inbox'}")
