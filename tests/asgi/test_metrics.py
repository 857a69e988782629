"""What requests are counted as, and who may read `/metrics`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from tests._spans import taken_spans
from tests.asgi._calls import answering, call, captured_lines, http_scope, raising
from undercroft import Infra
from undercroft.asgi import InfraMiddleware
from undercroft.monitoring import clear_metrics, get_all_metrics, get_histogram

pytestmark = pytest.mark.anyio

SECONDS = "http_server_request_duration_seconds"


@pytest.fixture(autouse=True)
def counted_from_zero() -> Iterator[None]:
    clear_metrics()
    yield
    clear_metrics()


def counted(method: str, route: str, status: int) -> int:
    labels = {"http_request_method": method, "http_route": route, "http_response_status_code": str(status)}
    return int(get_histogram(SECONDS, labels).count)


def shop() -> Starlette:
    async def order(request: Request) -> PlainTextResponse:
        return PlainTextResponse("ok")

    return Starlette(routes=[Route("/orders/{order}", order)])


async def test_requests_are_counted_by_their_route(infra: Infra) -> None:
    app = InfraMiddleware(shop(), infra)
    for number in range(3):
        await call(app, http_scope(f"/orders/{number}"))
    assert counted("GET", "/orders/{order}", 200) == 3


async def test_random_paths_are_one_series(infra: Infra) -> None:
    app = InfraMiddleware(shop(), infra)
    for number in range(500):
        await call(app, http_scope(f"/{number}/wp-admin"))
    assert counted("GET", "unmatched", 404) == 500
    assert len([metric for metric in get_all_metrics() if metric.name == SECONDS]) == 1


async def test_made_up_methods_are_one_series(infra: Infra) -> None:
    app = InfraMiddleware(answering(), infra)
    for number in range(50):
        await call(app, http_scope(method=f"JEFF{number}"))
    assert counted("_OTHER", "unmatched", 200) == 50


async def test_an_application_that_raises_is_counted_as_the_server_answers(infra: Infra) -> None:
    with pytest.raises(KeyError):
        await call(InfraMiddleware(raising(KeyError()), infra))
    assert counted("GET", "unmatched", 500) == 1


async def test_nothing_is_active_when_all_is_done(infra: Infra) -> None:
    with pytest.raises(KeyError):
        await call(InfraMiddleware(raising(KeyError()), infra))
    await call(InfraMiddleware(answering(), infra))
    (active,) = [metric for metric in get_all_metrics() if metric.name == "http_server_active_requests"]
    assert active.value == 0


async def test_probes_and_scrapes_are_not_counted(infra: Infra) -> None:
    app = InfraMiddleware(answering(), infra)
    with captured_lines() as lines:
        for path in ("/livez", "/readyz", "/metrics"):
            await call(app, http_scope(path))
    assert not [metric for metric in get_all_metrics() if metric.name == SECONDS]
    assert {line["level"] for line in lines.access} == {"debug"}


async def test_metrics_are_prometheus_text_and_openmetrics_when_asked(infra: Infra) -> None:
    app = InfraMiddleware(answering(), infra)
    with taken_spans():
        await call(app)
    text = await call(app, http_scope("/metrics"))
    assert text.header("content-type").startswith("text/plain; version=0.0.4")
    labels = 'http_request_method="GET",http_response_status_code="200",http_route="unmatched"'
    assert f"{SECONDS}_count{{{labels}}} 1.0".encode() in text.body

    accept = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
    asked = await call(app, http_scope("/metrics", headers=[("accept", accept)]))
    assert asked.header("content-type").startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name: family for family in text_string_to_metric_families(asked.body.decode())}
    exemplars = [sample.exemplar for sample in families[SECONDS].samples if sample.exemplar]
    assert set(exemplars[0].labels) == {"trace_id", "span_id"}


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (None, 401),
        ("Bearer wrong", 401),
        ("Basic s3cret-of-a-scraper", 401),
        ("Bearer ünïcode", 401),
        ("Bearer s3cret-of-a-scraper", 200),
        ("bearer  s3cret-of-a-scraper ", 200),
    ],
)
async def test_a_token_is_required_where_one_is_set(home: Path, header: str | None, status: int) -> None:
    infra = Infra(environ={"UNDERCROFT_METRICS_TOKEN": "s3cret-of-a-scraper"}, home=home, env="test")
    headers = [] if header is None else [("authorization", header)]
    async with infra:
        answer = await call(InfraMiddleware(answering(), infra), http_scope("/metrics", headers=headers))
    assert answer.status == status
    assert (b"# HELP" in answer.body) == (status == 200)
    assert status == 200 or answer.header("www-authenticate").startswith("Bearer")


async def test_the_path_can_be_left_to_the_application(infra: Infra) -> None:
    answer = await call(InfraMiddleware(answering(204), infra, metrics=False), http_scope("/metrics"))
    assert answer.status == 204


async def test_an_open_infra_tells_of_its_process_and_its_parts(infra: Infra) -> None:
    body = (await call(InfraMiddleware(answering(), infra), http_scope("/metrics"))).body.decode()
    for name in ("process_resident_memory_bytes", "process_cpu_seconds_total", "undercroft_event_loop_lag_seconds"):
        assert f"\n{name}" in body
    assert 'undercroft_pool_connections{part="database",state="idle"} 0.0' in body
