"""Sentry (sentry.io, or anything that speaks its protocol): errors as events, with the lines that led to them.

    from undercroft.logging.sentry import SentryBridge

    async with SentryBridge(os.environ["SENTRY_DSN"], environment="production"):
        logger.info("charging", order_id=7)             # a breadcrumb
        logger.error("payment failed", exc, order_id=7) # an event, with request_id, trace_id and job_id as tags

Uses the official `sentry-sdk`, so `sentry_sdk.capture_exception`, `set_tag` and `new_scope` work as they do; what they
send goes through the same redaction. Needs the extra `sentry`.
"""

from __future__ import annotations

import logging as stdlib_logging
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.durations import Duration, to_seconds
from undercroft._core.errors import ConfigError, NotOpenError
from undercroft._core.extras import require_module
from undercroft.logging._levels import Level, level_number
from undercroft.logging._plain import Redactor, redactor_of
from undercroft.logging._redact import Redaction
from undercroft.logging._sentry._budget import Budget
from undercroft.logging._sentry._dsn import Dsn, SentryDsnError
from undercroft.logging._sentry._handler import SentryHandler
from undercroft.logging._sentry._hooks import Hooks, User
from undercroft.logging._sentry._outlet import Outlet, SentryCounts
from undercroft.logging._sentry._scrub import Scrubber
from undercroft.logging._sentry._trail import MAX_CRUMBS, Trail

__all__ = ["SentryBridge", "SentryCounts", "SentryDsnError"]


class SentryBridge:
    """Reports this process's error lines to Sentry, from `open` to `close`. Whoever opened it closes it.

    One at a time in a process, as the SDK has one client. When the application has called `sentry_sdk.init` already,
    its client is joined: it stays as it is configured and connected, and what it sends is redacted and named by us from
    then on, behind the application's own `before_send` hooks; `dsn`, `environment`, `release`, `traces`,
    `local_variables` and `integrations` are not used then. If that client reports log records itself (the SDK's
    `LoggingIntegration`, on by default), it goes on to, and this bridge does not report them again.

    Otherwise a client is made, with no integrations but those that leave the process as it is: no patched libraries, no
    `sys.argv`, no request bodies, no cookies.

    Logging a line never waits for Sentry and never fails because of it. Events leave from the SDK's own thread; its
    buffer holds 100, and what does not fit is dropped. When errors come faster than 5 a second, after a burst of 50,
    the rest stays lines.

    Args:
        dsn: The project's address, `https://<public key>@<host>/<project number>`. A secret: never shown.
        environment: Such as `production`.
        release: Such as `shop@1.4.2`.
        traces: The share of the SDK's own transactions that is sent, 0 to 1; `True` is all of them.
        redaction: What is hidden besides, or shown, as for `setup_logging`; the standard rules when `None`. When it
            raises, the event is not sent.
        user: Called when an event is captured, in the context it was captured in; what it returns becomes the event's
            user. Redacted as the rest: give an id, since a mail address becomes a placeholder.
        breadcrumbs: The least level kept as breadcrumbs.
        events: The least level reported.
        local_variables: Send the variables of each frame. Redaction finds them by their names and by what values look
            like, which a secret in a variable called `x` escapes; off by default.
        integrations: Integrations of the SDK to turn on besides, such as `StarletteIntegration()`.
        close_timeout: How long `close` waits for what is not sent yet.
        clock: What the limit on events is measured by.
        what: The setting that the DSN came from; named in errors.

    Raises:
        MissingExtraError: `sentry-sdk` is not installed.
        SentryDsnError: The DSN cannot be read. The message does not quote it.
        ConfigError: `traces` is not a share.
        LogLevelError: `breadcrumbs` or `events` is not a level.
    """

    def __init__(
        self,
        dsn: str,
        *,
        environment: str | None = None,
        release: str | None = None,
        traces: bool | float = False,
        redaction: Redaction | Redactor | None = None,
        user: User | None = None,
        breadcrumbs: Level = "info",
        events: Level = "error",
        local_variables: bool = False,
        integrations: Sequence[Any] = (),
        close_timeout: Duration = "2s",
        clock: Clock | None = None,
        what: str = "SENTRY_DSN",
    ) -> None:
        self._dsn = Dsn.parse(dsn, what=what)
        self._close_timeout_s = to_seconds(close_timeout, name="close_timeout")
        self._options: dict[str, Any] = {
            "environment": environment,
            "release": release,
            "traces_sample_rate": _share(traces) or None,
            "include_local_variables": local_variables,
            "integrations": tuple(integrations),
        }
        sdk = require_module("sentry_sdk", extra="sentry", needed_for="SentryBridge")
        self._sdk = sdk
        self._outlet = outlet = Outlet(sdk, Budget(clock or SystemClock()))
        trail, redactor = Trail(), redactor_of(redaction)
        self._hooks = Hooks(
            Scrubber(redactor), trail, user=user, has_span=outlet.has_span, note_failure=outlet.note_failure
        )
        self._handler = SentryHandler(
            outlet,
            trail,
            redactor,
            breadcrumbs=level_number(breadcrumbs, what="breadcrumbs"),
            events=level_number(events, what="events"),
        )
        self._is_joined = False

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], **arguments: Any) -> Self | None:
        """Return the bridge that `environ` describes, or `None` if it has no `SENTRY_DSN`.

        Reads `SENTRY_DSN`, `SENTRY_ENVIRONMENT` (else `UNDERCROFT_ENV`), `SENTRY_RELEASE` and
        `SENTRY_TRACES_SAMPLE_RATE`; `arguments` come before them.

        Raises:
            ConfigError: One of them cannot be read; see the class.
        """
        dsn = environ.get("SENTRY_DSN", "").strip()
        if not dsn:
            return None
        environment = environ.get("SENTRY_ENVIRONMENT") or environ.get("UNDERCROFT_ENV") or "development"
        read: dict[str, Any] = {
            "environment": environment,
            "release": environ.get("SENTRY_RELEASE") or None,
            "traces": _share_of_text(environ.get("SENTRY_TRACES_SAMPLE_RATE", "")),
        }
        return cls(dsn, **{**read, **arguments})

    @property
    def is_open(self) -> bool:
        """Whether errors are reported now."""
        return self._outlet.client is not None

    @property
    def is_joined(self) -> bool:
        """Whether the client is the application's own."""
        return self._is_joined

    @property
    def counts(self) -> SentryCounts:
        """What became of the errors so far."""
        return self._outlet.counts

    async def open(self) -> None:
        """Begin to report. Connects to nothing; the SDK's thread starts with the first event.

        Raises:
            NotOpenError: It is open already.
        """
        if self._outlet.client is not None:
            raise NotOpenError("this SentryBridge is open already", hint="open it in one place: the outermost")
        there = self._sdk.get_client()
        self._is_joined = there.is_active()
        client = there if self._is_joined else self._new_client()
        self._hooks.install(client.options)
        self._outlet.client = client
        if not (self._is_joined and client.get_integration("logging")):
            stdlib_logging.getLogger().addHandler(self._handler)

    async def close(self) -> None:
        """Stop reporting and send what is left, for `close_timeout` at most; what is not sent by then is lost.

        A client that was joined is flushed, and stays. Closing twice does nothing.
        """
        client, self._outlet.client = self._outlet.client, None
        if client is None:
            return
        stdlib_logging.getLogger().removeHandler(self._handler)
        try:
            await self._finish(client)
        finally:
            if self._is_joined:
                self._hooks.remove(client.options)
            elif self._sdk.get_global_scope().client is client:
                self._sdk.get_global_scope().set_client(None)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(exc, Exception):
            self._report_leaving(exc)
        await self.close()

    def __repr__(self) -> str:
        environment = self._options["environment"]
        return f"SentryBridge({self._dsn}, environment={environment!r}, is_open={self.is_open})"

    def _new_client(self) -> Any:
        # Named, because the list of the SDK's defaults grows; these patch nothing. An error that two lines tell of is
        # one event, and what is left when a process forgets to close is sent at its exit, without a word on stderr.
        integrations = [
            _integration("atexit").AtexitIntegration(callback=_say_nothing),
            _integration("dedupe").DedupeIntegration(),
            _integration("modules").ModulesIntegration(),
            *self._options["integrations"],
        ]
        self._sdk.init(
            dsn=self._dsn.text,
            environment=self._options["environment"],
            release=self._options["release"] or "",  # `None` would run git to find one
            traces_sample_rate=self._options["traces_sample_rate"],
            include_local_variables=self._options["include_local_variables"],
            max_breadcrumbs=MAX_CRUMBS,
            max_request_body_size="never",
            default_integrations=False,
            auto_enabling_integrations=False,
            integrations=integrations,
            auto_session_tracking=False,
            enable_backpressure_handling=False,
            shutdown_timeout=self._close_timeout_s,
            spotlight=False,
            debug=False,
        )
        return self._sdk.get_client()

    async def _finish(self, client: Any) -> None:
        from anyio import CancelScope
        from anyio.to_thread import run_sync

        # The SDK waits in the thread that calls it, and for no longer than it is told.
        finish = client.flush if self._is_joined else client.close
        with CancelScope(shield=True):
            await run_sync(finish, self._close_timeout_s)

    def _report_leaving(self, exc: Exception) -> None:
        event = {"level": "fatal", "logger": "undercroft", "extra": {}}
        try:
            self._outlet.send(event, exc, is_handled=False)
        except Exception:
            self._outlet.note_failure()


def _integration(name: str) -> Any:
    return require_module(f"sentry_sdk.integrations.{name}", extra="sentry", needed_for="SentryBridge")


def _say_nothing(pending: int, timeout: float) -> None:
    """Take the place of what the SDK writes to standard error when it waits at exit."""


def _share(traces: bool | float) -> float:
    share = float(traces)
    if not 0 <= share <= 1:
        raise ConfigError(f"traces {traces!r} is not a share", hint="a number from 0 (none) to 1 (all)")
    return share


def _share_of_text(text: str) -> float:
    try:
        return _share(float(text or 0))
    except ValueError:
        problem = f"SENTRY_TRACES_SAMPLE_RATE {text!r} is not a share"
        raise ConfigError(problem, hint="a number from 0 (none) to 1 (all)") from None
