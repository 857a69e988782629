"""Whatever is given as a secret is in no description, error, finding or log line."""

import logging
from pathlib import Path

import pytest

from undercroft import Infra
from undercroft._core.errors import InvalidSettingsError, UndercroftError
from undercroft.app import Settings

pytestmark = pytest.mark.anyio
SECRET = "caNARy-7f3a"

GOOD = [
    {"RESEND_API_KEY": SECRET},
    {"SMTP_URL": f"smtp://shop:{SECRET}@127.0.0.1:1?starttls=off"},
    {"UNDERCROFT_EMAIL": f"resend://:{SECRET}@127.0.0.1:1?tls=off"},
    {"UNDERCROFT_QUEUE": f"sqlite://:{SECRET}@/queue.db"},
    {"UNDERCROFT_QUEUE": f"redis://:{SECRET}@cache?prefix=shop"},
    {"REDIS_URL": f"redis://:{SECRET}@cache:6379/0"},
    {"UNDERCROFT_QUEUE": "sqlite:///queue.db", "REDIS_URL": f"redis://:{SECRET}@cache"},
]
BAD = [
    {"REDIS_URL": f"redis://:{SECRET}@cache:{SECRET}"},
    {"REDIS_URL": f"user:{SECRET}@cache"},
    {"UNDERCROFT_QUEUE": f"redis://:{SECRET}@cache?nonsense={SECRET}"},
    {"UNDERCROFT_QUEUE": f"sqlite://:{SECRET}@/queue.db?nonsense={SECRET}"},
    {"UNDERCROFT_EMAIL": SECRET},
    {"SMTP_URL": f"smtp://shop:{SECRET}@mail.example?password={SECRET}"},
    {"SMTP_URL": f"smtp://shop:{SECRET}@mail.example?timeout_s={SECRET}"},
    {"SMTP_URL": f"smtp://shop:a/{SECRET}@mail.example"},
    {"SMTP_URL": f"smtp://shop:a#{SECRET}@mail.example"},
    {"SMTP_URL": f"smtp://shop:{SECRET}@mail example:587"},
    {"SMTP_URL": f"smtp://shop:{SECRET}@mail.example:{SECRET}"},
    {"SMTP_URL": f"smtp://:{SECRET}@mail.example"},
    {"RESEND_API_KEY": f"{SECRET} {SECRET}"},
    {"RESEND_API_KEY_FILE": SECRET},
    {"RESEND_API_KEY_FILE": f"/{SECRET}"},
    {"SMTP_URL_FILE": f"smtp://shop:{SECRET}@mail.example"},
    {"UNDERCROFT_SECRET": SECRET},
    {"UNDERCROFT_EMIAL": f"smtp://shop:{SECRET}@mail.example"},
]


@pytest.mark.parametrize("environ", BAD)
def test_no_error_shows_a_secret(environ: dict[str, str]) -> None:
    with pytest.raises(InvalidSettingsError) as caught:
        Infra(environ=environ)
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in f"{error!s} {error!r}"
        error = error.__cause__ or error.__context__
    for problem in caught.value.problems:
        assert SECRET not in f"{problem!s} {problem!r} {problem.__cause__!r} {problem.hint} {problem.near}"


@pytest.mark.parametrize("environ", GOOD)
def test_no_description_shows_a_secret(environ: dict[str, str]) -> None:
    infra = Infra(environ=environ, email_from="shop@example.com")
    for shown in (infra, infra.settings, infra.describe(), infra.queue, infra.email, infra.email.transport):
        assert SECRET not in f"{shown!s} {shown!r}"


@pytest.mark.parametrize("environ", GOOD)
async def test_no_finding_report_or_log_line_shows_a_secret(
    environ: dict[str, str], caplog: pytest.LogCaptureFixture, home: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    infra = Infra(environ=environ, email_from="shop@example.com", home=home, start_timeout="300ms")
    findings = await infra.check()
    report: object
    try:
        async with infra:
            report = await infra.health.run()
    except UndercroftError as exc:  # a server that is not there
        report = f"{exc} {exc!r}"
    assert SECRET not in f"{findings} {report} {caplog.text} {[vars(record) for record in caplog.records]}"


def test_a_secret_in_a_file_is_hidden_too(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(SECRET)
    settings = Settings.read({"RESEND_API_KEY_FILE": str(tmp_path / "key")})
    assert settings.email.value is not None
    assert settings.email.value.password == SECRET
    assert SECRET not in repr(settings)
