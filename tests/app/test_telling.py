"""What an open `Infra` tells of itself: to Prometheus, to the store of recent spans and lines, to a file at home."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from tests.app._transports import NotingTransport
from tests.asgi._calls import call, http_scope, raising
from tests.monitoring.metrics._reading import promtool_complaints
from tests.monitoring.tracing._receiver import receiver
from undercroft import Infra
from undercroft._core.errors import InvalidDataError
from undercroft.app._arguments import InfraArguments
from undercroft.asgi import InfraMiddleware
from undercroft.health import read_heartbeats
from undercroft.logging import logger
from undercroft.monitoring import (
    MetricsDirectoryError,
    Story,
    clear_metrics,
    increment,
    is_recording,
    registry,
    render_prometheus,
    start_span,
)
from undercroft.queue import job

pytestmark = pytest.mark.anyio


@job("telling.greet")
async def greet(name: str) -> None:
    logger.info("greeting", name=name)


@job("telling.fail", attempts=1)
async def fail() -> None:
    raise KeyError("price")


@pytest.fixture(autouse=True)
def counted_from_zero() -> Iterator[None]:
    clear_metrics()
    yield
    clear_metrics()


@contextmanager
def without_handlers() -> Iterator[None]:
    """Take pytest's handlers off the root logger, so that an `Infra` sets logging up as in a program of its own."""
    root = logging.getLogger()
    kept, root.handlers = root.handlers, []
    try:
        yield
    finally:
        root.handlers = kept


async def worked(infra: Infra) -> None:
    await greet.enqueue("Ann")
    await fail.enqueue()
    await infra.queue.worker().drain()
    await infra.email.send(to="ann@example.com", subject="Hi", body="Welcome")
    await infra.health.run()


async def test_what_an_infra_counts_is_clean_for_prometheus(home: Path) -> None:
    async with Infra(environ={}, home=home, jobs=[greet, fail]) as infra:
        await worked(infra)
        text = render_prometheus()
    assert promtool_complaints(text) == ""
    for name in (
        "undercroft_job_runs_total",
        "undercroft_emails_total",
        "undercroft_health_status",
        "process_open_fds",
    ):
        assert f"# TYPE {name} " in text


async def test_spans_and_lines_are_kept_as_one_story(home: Path) -> None:
    with without_handlers():
        story = await a_story(Infra(environ={}, home=home, jobs=[greet, fail]))
    assert {type(entry).__name__ for _, entry in story.walk()} == {"StorySpan", "StoryLine"}


async def a_story(infra: Infra) -> Story:
    """Work in a span, and return what was kept of it."""
    async with infra:
        assert infra.observability.recent is not None
        with start_span("checkout") as span:
            logger.info("inside")
        await worked(infra)
        await infra.observability.recent.flush()
        with anyio.fail_after(5):  # lines come from the thread that writes them
            while len(list((story := await infra.observability.recent.story(span.trace_id)).walk())) < 2:
                await anyio.sleep(0.05)
        return story


async def test_production_and_tests_keep_no_recent_spans(home: Path) -> None:
    for env in ("production", "test"):
        async with Infra(environ={}, home=home, env=env) as infra:
            assert infra.observability.recent is None
            assert not is_recording()
    assert not (home / "recent.db").exists()


async def test_none_keeps_none(home: Path) -> None:
    async with Infra(environ={"UNDERCROFT_RECENT": "none"}, home=home) as infra:
        assert infra.observability.recent is None


async def test_tracing_ends_with_the_infra(home: Path) -> None:
    async with Infra(environ={}, home=home):
        assert is_recording()
    assert not is_recording()


async def test_state_is_written_for_undercroft_health(home: Path) -> None:
    infra = Infra(environ={}, home=home, jobs=[greet])
    async with infra, infra.queue.worker():
        with anyio.fail_after(5):
            while not (beats := read_heartbeats(home / "health")) or not beats[0].document["work"]["workers"]:
                await anyio.sleep(0.05)
        (beat,) = beats
        assert (beat.kind, beat.is_live) == ("api", True)
        assert beat.document["work"]["workers"][0]["queues"] == ["default"]
    assert read_heartbeats(home / "health") == []


async def test_two_infras_of_one_process_share_the_metrics_of_the_first(home: Path) -> None:
    async with Infra(environ={}, home=home / "one"), Infra(environ={}, home=home / "two"):
        registry().increment("telling_shared")
    assert list((home / "one" / "metrics").iterdir())
    assert not (home / "two" / "metrics").exists() or not list((home / "two" / "metrics").glob("*.mmap"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"metrics": "redis://cache"}, ["argument metrics", "redis", "mmap"]),
        ({"recent": "postgresql://db/x"}, ["argument recent"]),
        ({"recent": "sqlite:///recent.db?max_linse=5"}, ["max_linse", "max_lines"]),
        ({"log_sample": 2}, ["argument log_sample", "0 to 1"]),
        ({"traces": "collector:4318"}, ["argument traces"]),
        ({"traces": "grpc://collector:4317"}, ["argument traces", "http"]),
        ({"traces_sampler": "always"}, ["always_on"]),
        ({"sentry": "not-a-dsn"}, ["UC1170"]),
    ],
    ids=str,
)
def test_a_wrong_setting_is_told_with_what_would_be_right(arguments: InfraArguments, words: list[str]) -> None:
    with pytest.raises(ValueError) as caught:
        Infra(environ={}, **arguments)
    for word in words:
        assert word in str(caught.value)


async def test_lines_say_whose_they_are(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    with without_handlers():
        async with Infra(environ={"SERVICE_NAME": "shop"}, home=home, env="test", log_format="json"):
            logger.info("hello")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert {line["service"] for line in lines if line["message"] == "hello"} == {"shop"}


async def test_errors_of_requests_and_jobs_are_grouped_by_what_they_are(home: Path) -> None:
    async with Infra(environ={}, home=home, env="test", jobs=[fail]) as infra:
        for _ in range(3):
            await fail.enqueue()
        await infra.queue.worker().drain()
        with pytest.raises(KeyError):
            await call(InfraMiddleware(raising(KeyError("x")), infra), http_scope("/orders/7"))
        await call(InfraMiddleware(raising(InvalidDataError("the client's mistake")), infra))
    in_job, in_request = sorted(infra.errors.list_groups(), key=lambda group: -group.count)
    assert (in_job.count, in_request.count) == (3, 1)
    assert in_job.sample.context is not None
    assert in_job.sample.context["job"] == "telling.fail"


async def test_label_values_are_hidden_as_in_lines(home: Path) -> None:
    async with Infra(environ={}, home=home, env="test"):
        increment("telling_logins", {"user": "ann@example.com"})
        increment("telling_logins", {"user": "bob@example.com"})
        text = render_prometheus()
    assert 'telling_logins_total{user="[EMAIL]"} 2.0' in text


async def test_metrics_that_cannot_be_shared_are_told_and_keep_nothing_from_starting(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (home / "state").write_text("a file where the home should be")
    infra = Infra(environ={}, home=home / "state", env="production", queue="memory://", email=NotingTransport())
    async with infra:
        increment("telling_alone")
        findings = [finding for finding in await infra.check() if finding.part == "metrics"]
    assert any("of each process alone" in finding.message for finding in findings)
    assert "metrics are of this process alone" in caplog.text


async def test_metrics_that_were_asked_for_must_be_shared(home: Path) -> None:
    (home / "file").touch()
    with pytest.raises(MetricsDirectoryError):
        async with Infra(environ={}, home=home, metrics=f"mmap:///{home / 'file'}"):
            pass


async def test_spans_are_exported_in_every_life_of_an_infra(home: Path) -> None:
    async with receiver() as collector:
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url.removesuffix("/v1/traces"), "SERVICE_NAME": "shop"}
        infra = Infra(environ=variables, home=home, env="test", release="1.4.2")
        for life in ("first", "second"):
            async with infra:
                with start_span(f"{life} life", attributes={"password": "hunter2", "to": "ann@example.com"}):
                    pass
    assert collector.span_names == ["first life", "second life"]
    resource = str(collector.requests[0].message.resource_spans[0].resource)
    assert all(word in resource for word in ("service.name", "shop", "service.version", "1.4.2"))
    assert not any(word in str(request.message) for request in collector.requests for word in ("hunter2", "ann@"))
