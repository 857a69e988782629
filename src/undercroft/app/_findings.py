"""What `Infra.check` looks for: settings that work and are still not what one wants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from undercroft._core.errors import UndercroftError
from undercroft.logging import redact_text

if TYPE_CHECKING:
    from undercroft.app._infra import Infra


_PATIENCE_S = 3.0


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    """Something will not work, or data or mail will not go where it should."""
    WARNING = "warning"
    """It works; think again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that `check` found."""

    severity: Severity
    part: str
    message: str
    hint: str


def static_findings(infra: Infra) -> Iterator[Finding]:
    """Yield what can be seen without connecting to anything."""
    settings = infra.settings
    if infra.email.transport_name == "inbox" and settings.is_production:
        yield Finding(
            severity=Severity.ERROR,
            part="email",
            message="in production, and mail goes to the inbox on this machine: nobody will get it",
            hint="set RESEND_API_KEY, SMTP_URL or UNDERCROFT_EMAIL",
        )
    if infra.email.transport_name != "inbox" and settings.email_from.value is None:
        yield Finding(
            severity=Severity.ERROR,
            part="email",
            message="there is no sender: mail that names none will be refused",
            hint="set EMAIL_FROM to an address of a domain you may send from",
        )
    if settings.email.origin.startswith("RESEND_API_KEY") and settings.email.unused:
        yield Finding(
            severity=Severity.WARNING,
            part="email",
            message=f"mail goes through Resend, and {settings.email.unused[0]}, which is set too, is not used",
            hint="unset one of the two; UNDERCROFT_EMAIL=smtp://… comes before both",
        )
    if infra.queue.backend == "sqlite" and settings.is_production:
        yield Finding(
            severity=Severity.WARNING,
            part="queue",
            message="in production, and jobs are in a SQLite file: it serves the processes of one machine only",
            hint="fine on a single machine with a disk that is backed up; otherwise use a queue server",
        )
    if infra.queue.backend == "memory" and settings.is_production:
        yield Finding(
            severity=Severity.ERROR,
            part="queue",
            message="in production, and jobs are in this process's memory: they end with it, and no other sees them",
            hint="set REDIS_URL or UNDERCROFT_QUEUE=sqlite:///…",
        )
    if settings.is_production:
        yield from _stores_of_one(infra)
    if settings.metrics_token.value is None and settings.is_production:
        yield Finding(
            severity=Severity.WARNING,
            part="metrics",
            message="in production, and anybody who reaches the application may read /metrics",
            hint="set UNDERCROFT_METRICS_TOKEN, keep the path from strangers, or InfraMiddleware(…, metrics=False)",
        )
    if not infra.queue.jobs:
        yield Finding(
            severity=Severity.WARNING,
            part="queue",
            message="no jobs are registered: nothing can be enqueued, and a worker has nothing to do",
            hint="list them: Infra(jobs=[…]) or Infra(jobs='shop.jobs')",
        )


def _stores_of_one(infra: Infra) -> Iterator[Finding]:
    """Yield what is in this process or on this machine, and is meant for all."""
    for part, promise in (("locks", "a lock has one holder"), ("limits", "a rate limit holds")):
        backend = getattr(infra, part).backend
        if backend == "memory":
            yield Finding(
                severity=Severity.ERROR,
                part=part,
                message=f"in production, and {promise} in each process by itself: {part} are in this process's memory",
                hint=f"set REDIS_URL or UNDERCROFT_{part.upper()}=sqlite:///…",
            )
        elif backend == "sqlite":
            yield Finding(
                severity=Severity.WARNING,
                part=part,
                message=f"in production, and {promise} among the processes of one machine only: {part} are in a file",
                hint="fine on a single machine; otherwise set REDIS_URL",
            )


async def live_findings(infra: Infra) -> list[Finding]:
    """Ask every part whether it answers, and return what does not. Opens the `Infra` for it when it is not open."""
    try:
        if infra.is_open:
            return await _asked(infra)
        # Looking must not run jobs, nor wait as long as a deployment would.
        await infra.open(background=False, start_timeout=_PATIENCE_S)
        try:
            with infra.bind():
                return await _asked(infra)
        finally:
            await infra.close()
    except Exception as exc:  # whatever a transport of the application's own may raise: that is what was asked for
        return [_does_not_open(exc)]


async def _asked(infra: Infra) -> list[Finding]:
    report = await infra.health.run()
    findings = [
        Finding(
            severity=Severity.ERROR if result.critical else Severity.WARNING,
            part=name,
            message=f"{result.status}: {result.message or 'no message'}",
            hint="see `undercroft config show` for where it is looked for",
        )
        for name, result in report.checks.items()
        if result.status != "healthy"
    ]
    if infra.observability.metrics_problem is not None:
        findings.append(
            Finding(
                severity=Severity.WARNING,
                part="metrics",
                message=infra.observability.metrics_problem,
                hint="make the home writable, or set UNDERCROFT_METRICS: to a directory, or to memory://",
            )
        )
    if any(finding.part == "queue" for finding in findings):
        return findings
    advice = await infra.queue.advice()
    return findings + [
        Finding(severity=Severity.WARNING, part="queue", message=each.message, hint=each.hint) for each in advice
    ]


def _does_not_open(exc: Exception) -> Finding:
    if isinstance(exc, UndercroftError):
        message, hint = exc.message, exc.hint
    else:
        message, hint = redact_text(f"{type(exc).__name__}: {exc}"), None
    return Finding(
        severity=Severity.ERROR,
        part="infra",
        message=f"does not open: {message}",
        hint=hint or "see `undercroft config show`",
    )
