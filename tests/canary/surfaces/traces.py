"""Spans: names, attributes, events, exceptions, links and baggage, as exported over OTLP, stored and told."""

from __future__ import annotations

from contextlib import suppress

from tests.canary._rules import redact_attribute
from tests.canary._world import World
from tests.email._http import answer, recorder
from undercroft._core.context import Correlation, correlate
from undercroft.logging import logger, setup_logging
from undercroft.monitoring import FinishedSpan, RecentStore, baggage, setup_tracing, start_span, start_trace
from undercroft.monitoring.otlp import OtlpExporter


class Collected:
    """A processor that keeps the spans."""

    def __init__(self) -> None:
        self.spans: list[FinishedSpan] = []

    def on_end(self, span: FinishedSpan) -> None:
        self.spans.append(span)

    async def flush(self) -> None: ...

    async def aclose(self) -> None: ...


async def drive(world: World) -> None:
    collected = Collected()
    async with recorder() as collector, RecentStore(world.home / "recent.db") as store:
        collector.respond = lambda request: answer(200, {})
        exporter = OtlpExporter(
            f"http://u:{world.secret('span.exporter')}@127.0.0.1:{collector.port}/v1/traces?key=mark",
            headers={"x-api-key": world.secret("span.header")},
            protocol="http/json",
        )
        world.take("repr", exporter, store)
        async with setup_tracing(processors=[collected, store, exporter], redact=redact_attribute):
            lines = setup_logging(level="debug", format="json", stream=world.lines, also=store.on_line)
            with lines, correlate(Correlation(request_id="mark-request")):
                await _spans(world)
        await store.flush()
        story = await store.story("mark-request")
        world.take("story", story, *await store.recent_traces(), *await store.recent_lines())
        world.take("exported", *(request.body for request in collector.requests))
        assert collector.requests
    world.take("stored", (world.home / "recent.db").read_bytes())
    world.take("spans", *collected.spans)
    world.expect("mark-span", "mark-event", "mark-attribute", "mark-raised", "mark-link")


async def _spans(world: World) -> None:
    attributes = {
        "mark-attribute": 1,
        "db.password": world.secret("span.attribute"),
        "url.full": f"https://u:{world.secret('url.userinfo')}@h/?token={world.secret('url.query')}",
        "http.request.header.authorization": [f"Bearer {world.secret('span.attribute')}"],
        "card": world.secret("span.card"),
    }
    with baggage(session_token=world.secret("span.baggage")), start_trace("mark-trace") as first:
        with suppress(LookupError), start_span("mark-span", attributes=attributes, links=[first]) as span:
            span.add_link(first, {"mark-link": 1, "api_key": world.secret("span.attribute")})
            span.add_event("mark-event", {"secret": world.secret("span.event"), "n": 1})
            world.take("repr", span)
            raise LookupError(f"mark-raised: https://u:{world.secret('span.status')}@h")
        with start_span(f"GET https://u:{world.secret('span.name')}@h/mark-named") as named:
            named.set_status("error", f"password={world.secret('span.status')}")
            logger.info("mark-line", password=world.secret("key.password"), url=attributes["url.full"])
