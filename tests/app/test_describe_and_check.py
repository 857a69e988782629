"""What an Infra says about itself, and what it finds."""

from pathlib import Path

import pytest

from tests.app._jobs_here import welcome
from tests.app._transports import NotingTransport
from undercroft import Infra
from undercroft.app import Finding, Severity
from undercroft.cache.memory import MemoryCache
from undercroft.health import health_check
from undercroft.queue._values import Advice
from undercroft.queue.memory import MemoryQueue
from undercroft.queue.sqlite import SqliteQueue

pytestmark = pytest.mark.anyio
NO_JOBS = ("warning", "queue")


def brief(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(str(finding.severity), finding.part) for finding in findings]


# describe


def described(infra: Infra) -> list[tuple[str, str, str, str]]:
    return [(part.part, part.backend, part.url, part.chosen_by) for part in infra.describe()]


def test_describe_says_which_backend_and_why() -> None:
    assert described(Infra(environ={"SMTP_URL": "smtp://ann:pa55@mail.example:2525"})) == [
        ("queue", "sqlite", "sqlite:///.undercroft/queue.db", "default"),
        ("cache", "sqlite", "sqlite:///.undercroft/cache.db", "default"),
        ("locks", "sqlite", "sqlite:///.undercroft/locks.db", "default"),
        ("limits", "sqlite", "sqlite:///.undercroft/limits.db", "default"),
        ("breakers", "sqlite", "sqlite:///.undercroft/breakers.db", "default"),
        ("email", "smtp", "smtp://ann:***@mail.example:2525", "SMTP_URL"),
        ("database", "sqlite", "sqlite:///.undercroft/app.db", "default"),
        ("pubsub", "memory", "memory://", "default"),
    ]


def test_describe_says_what_was_handed_in(home: Path) -> None:
    infra = Infra(environ={}, queue=SqliteQueue(home / "q.db"), email=NotingTransport(), cache=MemoryCache())
    assert [part for part in described(infra) if part[0] in ("queue", "cache", "email")] == [
        ("queue", "sqlite", "", "argument queue"),
        ("cache", "memory", "", "argument cache"),
        ("email", "noting", "", "argument email"),
    ]


def test_repr_says_what_it_is_and_whether_it_is_open() -> None:
    shown = repr(Infra(environ={"UNDERCROFT_LOCKS": "memory://"}))
    stores = "cache=sqlite, locks=memory, limits=sqlite, breakers=sqlite"
    assert shown == f"Infra(queue=sqlite, {stores}, email=inbox, database=sqlite, pubsub=memory, is_open=False)"


# check, without connecting


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, []),
        ({"UNDERCROFT_ENV": "test"}, []),
        (
            {"UNDERCROFT_ENV": "production"},
            [("error", "email"), *(("warning", part) for part in ("queue", "locks", "limits", "metrics"))],
        ),
        (
            {"UNDERCROFT_ENV": "production", "UNDERCROFT_METRICS_TOKEN": "scrape"},
            [("error", "email"), *(("warning", part) for part in ("queue", "locks", "limits"))],
        ),
        (
            {
                "UNDERCROFT_ENV": "production",
                "UNDERCROFT_METRICS_TOKEN": "scrape",
                "UNDERCROFT_LOCKS": "memory://",
                "UNDERCROFT_LIMITS": "redis://cache",
            },
            [("error", "email"), ("warning", "queue"), ("error", "locks")],
        ),
        ({"RESEND_API_KEY": "re_1"}, [("error", "email")]),
        ({"RESEND_API_KEY": "re_1", "EMAIL_FROM": "shop@example.com"}, []),
        (
            {"RESEND_API_KEY": "re_1", "EMAIL_FROM": "shop@example.com", "SMTP_URL": "smtp://mail.example"},
            [("warning", "email")],
        ),
    ],
)
async def test_static_findings(environ: dict[str, str], expected: list[tuple[str, str]], home: Path) -> None:
    findings = await Infra(environ=environ, jobs=[welcome]).check(connect=False)
    assert brief(findings) == expected
    assert all(finding.message and finding.hint for finding in findings)
    assert list(home.iterdir()) == []


async def test_no_jobs_is_a_finding() -> None:
    assert brief(await Infra(environ={}).check(connect=False)) == [NO_JOBS]


# check, connecting


async def test_nothing_is_found_when_everything_answers() -> None:
    infra = Infra(environ={}, jobs=[welcome])
    assert await infra.check() == []
    assert not infra.is_open


async def test_checking_one_that_is_open_leaves_it_open() -> None:
    async with Infra(environ={}, jobs=[welcome]) as infra:
        assert await infra.check() == []
        await infra.queue.ping()


async def test_what_does_not_answer_is_found() -> None:
    environ = {"SMTP_URL": "smtp://127.0.0.1:1?starttls=off", "EMAIL_FROM": "shop@example.com"}
    assert brief(await Infra(environ=environ, jobs=[welcome]).check()) == [("warning", "email")]


async def test_memory_queue_in_production_is_an_error() -> None:
    environ = {"UNDERCROFT_ENV": "production", "UNDERCROFT_QUEUE": "memory://", "SMTP_URL": "smtp://127.0.0.1:25"}
    findings = await Infra(environ=environ, jobs=[welcome], email_from="shop@example.com").check(connect=False)
    assert brief(findings) == [("error", "queue"), ("warning", "locks"), ("warning", "limits"), ("warning", "metrics")]


async def test_what_the_queues_store_advises_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def advice(_: MemoryQueue) -> list[Advice]:
        return [Advice(message="appendonly is off", hint="set appendonly yes")]

    monkeypatch.setattr(MemoryQueue, "advice", advice)
    (finding,) = await Infra(environ={}, queue="memory://", jobs=[welcome]).check()
    assert (finding.severity, finding.part, finding.message) == (Severity.WARNING, "queue", "appendonly is off")


async def test_checks_of_the_application_are_asked_whenever_they_were_registered() -> None:
    @health_check("database")
    def database() -> bool:
        return False

    infra = Infra(environ={}, jobs=[welcome], health_checks=[database])
    infra.health.register("search", lambda: False, critical=False)
    assert brief(await infra.check()) == [("error", "database"), ("warning", "search")]


async def test_a_home_that_cannot_be_used_is_found(home: Path) -> None:
    (home / "file").touch()
    (finding,) = await Infra(environ={}, jobs=[welcome], home=home / "file").check()
    assert (finding.severity, finding.part) == (Severity.ERROR, "infra")
    assert "cannot be written" in finding.message
    assert "UNDERCROFT_HOME" in finding.hint


async def test_whatever_an_own_transport_raises_is_found() -> None:
    async def refuse() -> None:
        raise OSError("amqp://shop:pa55@broker refused")

    infra = Infra(environ={}, jobs=[welcome], email=NotingTransport(opening=refuse), email_from="shop@example.com")
    (finding,) = await infra.check()
    assert finding.message == "does not open: OSError: amqp://***@broker refused"


# health


async def test_queue_and_email_contribute_checks() -> None:
    async with Infra(environ={}) as infra:
        report = await infra.health.run()
    assert {name: (check.status, check.critical) for name, check in report.checks.items()} == {
        "queue": ("healthy", True),
        "email": ("healthy", False),
    }


async def test_mail_that_does_not_answer_degrades_and_does_not_take_it_out_of_service() -> None:
    async def refuse() -> None:
        raise OSError("refused")

    async with Infra(environ={}, email=NotingTransport(ping=refuse)) as infra:
        report = await infra.health.run()
    assert (report.status, report.is_ready) == ("degraded", True)


async def test_a_check_of_the_application_replaces_ours_of_the_same_name() -> None:
    @health_check("email")
    def email() -> str:
        return "degraded"

    async with Infra(environ={}, health_checks=[email]) as infra:
        report = await infra.health.run()
    assert list(report.checks) == ["queue", "email"]
    assert report.checks["email"].status == "degraded"


async def test_one_that_is_not_open_is_unhealthy() -> None:
    assert (await Infra(environ={}).health.run()).status == "unhealthy"
