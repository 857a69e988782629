"""Where an OpenTelemetry SDK is configured, its context and ours are one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from tests.monitoring.tracing._taken import Taken
from undercroft._core.context import Correlation, Trace, correlate, correlation
from undercroft.monitoring import (
    OpenTelemetryError,
    baggage,
    continue_from,
    continue_trace,
    get_active_span,
    inject_headers,
    library_span,
    setup_tracing,
    start_span,
    start_trace,
)

pytestmark = pytest.mark.anyio
REMOTE = Trace(trace_id="4bf92f3577b34da6a3ce929d0e0e4736", span_id="00f067aa0ba902b7", state="a=b")


class Sdk:
    """An SDK of the test's own, with what it exported."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("test")
        self.taken = Taken()

    def named(self, name: str) -> ReadableSpan:
        (span,) = [span for span in self.exporter.get_finished_spans() if span.name == name]
        return span

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.exporter.get_finished_spans()]


@pytest.fixture
def sdk() -> Iterator[Sdk]:
    sdk = Sdk()
    with setup_tracing(processors=[sdk.taken], opentelemetry=sdk.provider) as setup:
        assert setup.uses_opentelemetry
        yield sdk


def _ids(span: ReadableSpan) -> tuple[str, str]:
    context = span.get_span_context()
    assert context is not None
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"


def _parent_id(span: ReadableSpan) -> str | None:
    return None if span.parent is None else f"{span.parent.span_id:016x}"


def test_our_span_is_one_of_theirs_with_the_same_ids(sdk: Sdk) -> None:
    with start_span("ours", kind="server", attributes={"a": 1}) as ours:
        assert f"{trace.get_current_span().get_span_context().span_id:016x}" == ours.span_id

    exported = sdk.named("ours")
    assert _ids(exported) == (ours.trace_id, ours.span_id)
    assert (exported.kind, dict(exported.attributes or {})) == (trace.SpanKind.SERVER, {"a": 1})
    assert (exported.start_time, exported.end_time) == (ours.start_time_ns, ours.end_time_ns)
    assert sdk.taken.only.span_id == ours.span_id
    assert not trace.get_current_span().get_span_context().is_valid


def test_span_started_by_opentelemetry_inside_ours_is_its_child(sdk: Sdk) -> None:
    with start_span("ours") as ours, sdk.tracer.start_as_current_span("theirs"):
        pass

    theirs = sdk.named("theirs")
    assert _ids(theirs)[0] == ours.trace_id
    assert _parent_id(theirs) == ours.span_id


def test_our_span_inside_one_of_opentelemetry_is_its_child(sdk: Sdk) -> None:
    with sdk.tracer.start_as_current_span("theirs"), start_span("ours"), start_span("inner"):
        pass

    assert _ids(sdk.named("ours"))[0] == _ids(sdk.named("theirs"))[0]
    assert _parent_id(sdk.named("ours")) == _ids(sdk.named("theirs"))[1]
    assert _parent_id(sdk.named("inner")) == _ids(sdk.named("ours"))[1]
    assert sdk.taken.named("ours").parent_span_id == _ids(sdk.named("theirs"))[1]


def test_spans_of_both_nest_in_any_order(sdk: Sdk) -> None:
    with start_span("1"), sdk.tracer.start_as_current_span("2"), start_span("3"):
        with sdk.tracer.start_as_current_span("4"), sdk.tracer.start_as_current_span("5"), start_span("6"):
            pass
        with start_span("7"):
            pass

    parents = {name: _parent_id(sdk.named(name)) for name in "1234567"}
    ids = {name: _ids(sdk.named(name))[1] for name in "1234567"}
    below = {"2": "1", "3": "2", "4": "3", "5": "4", "6": "5", "7": "3"}
    assert parents == {"1": None, **{name: ids[parent] for name, parent in below.items()}}
    assert len({_ids(sdk.named(name))[0] for name in "1234567"}) == 1


def test_position_that_a_carrier_brought_is_the_parent_of_both(sdk: Sdk) -> None:
    with correlate(Correlation(trace=REMOTE)), start_span("ours"), sdk.tracer.start_as_current_span("theirs"):
        pass

    ours = sdk.named("ours")
    assert (_ids(ours)[0], _parent_id(ours)) == (REMOTE.trace_id, REMOTE.span_id)
    assert ours.parent is not None
    assert ours.parent.is_remote
    assert sdk.taken.only.is_parent_remote
    assert sdk.taken.only.trace_state == "a=b"
    assert _ids(sdk.named("theirs"))[0] == REMOTE.trace_id


def test_names_set_later_come_before_a_span_of_opentelemetry(sdk: Sdk) -> None:
    with start_span("request"), sdk.tracer.start_as_current_span("theirs"), correlate(Correlation(trace=REMOTE)):
        with start_span("job"):
            pass
        with continue_from({}), start_span("other"):
            pass

    assert _parent_id(sdk.named("job")) == REMOTE.span_id
    assert _parent_id(sdk.named("other")) is None


def test_request_of_a_middleware_has_a_span_at_its_parent(sdk: Sdk) -> None:
    position = continue_trace(REMOTE)
    names = Correlation(request_id="r1", trace=position)
    with correlate(names), library_span("GET /", kind="server", at=position, parent=REMOTE) as span:
        assert span is not None
        assert correlation().fields() == {"request_id": "r1", "trace_id": REMOTE.trace_id, "span_id": span.span_id}

    assert _parent_id(sdk.named("GET /")) == REMOTE.span_id


def test_request_is_inside_the_span_of_their_instrumentation(sdk: Sdk) -> None:
    position = continue_trace(None)
    with sdk.tracer.start_as_current_span("theirs"), library_span("GET /", kind="server", at=position):
        pass

    assert _parent_id(sdk.named("GET /")) == _ids(sdk.named("theirs"))[1]


def test_job_is_not_inside_the_span_that_its_worker_was_started_in(sdk: Sdk) -> None:
    position = continue_trace(REMOTE)
    with sdk.tracer.start_as_current_span("theirs"):
        with library_span("job", kind="consumer", at=position, parent=REMOTE):
            pass
        with library_span("request of another trace", kind="server", at=position, parent=REMOTE):
            pass
        with library_span("job without a trace", kind="consumer", at=continue_trace(None)):
            pass

    assert _parent_id(sdk.named("job")) == REMOTE.span_id
    assert _parent_id(sdk.named("request of another trace")) == REMOTE.span_id
    assert _parent_id(sdk.named("job without a trace")) is None


def test_start_trace_and_given_parents_are_obeyed(sdk: Sdk) -> None:
    with start_span("outer") as outer, sdk.tracer.start_as_current_span("theirs"):
        start_trace("root").end()
        start_span("child", parent=outer).end()

    assert _parent_id(sdk.named("root")) is None
    assert _parent_id(sdk.named("child")) == outer.span_id


def test_headers_name_the_newest_span_of_either(sdk: Sdk) -> None:
    with start_span("ours") as ours, baggage(user="1"):
        assert ours.span_id in inject_headers()["traceparent"]
        with sdk.tracer.start_as_current_span("theirs") as theirs:
            headers = inject_headers()

    assert headers["traceparent"].split("-")[2] == f"{theirs.get_span_context().span_id:016x}"
    assert headers["baggage"] == "user=1"


def test_everything_of_a_span_reaches_their_exporters_redacted() -> None:
    sdk = Sdk()
    with setup_tracing(
        opentelemetry=sdk.provider,
        redact=lambda name, value: value.replace("hunter2", "***") if isinstance(value, str) else value,
    ):
        span = start_span("first", attributes={"a": "hunter2"}, links=[REMOTE])
        span.update_name("better hunter2").add_event("e", {"b": "hunter2"}).set_attribute("c", [1, 2])
        with pytest.raises(ValueError, match="hunter2"), span:
            raise ValueError("hunter2")

    exported = sdk.named("better ***")
    assert "hunter2" not in exported.to_json()
    assert dict(exported.attributes or {}) == {"a": "***", "c": (1, 2), "error.type": "ValueError"}
    assert [event.name for event in exported.events] == ["e", "exception"]
    assert exported.events[0].timestamp == span.events[0].time_ns
    assert f"{exported.links[0].context.span_id:016x}" == REMOTE.span_id
    assert exported.links[0].context.trace_state.to_header() == "a=b"
    assert (exported.status.status_code, exported.status.description) == (trace.StatusCode.ERROR, "***")


def test_their_sampler_decides() -> None:
    exporter, taken = InMemorySpanExporter(), Taken()
    provider = TracerProvider(sampler=ALWAYS_OFF)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with setup_tracing(processors=[taken], opentelemetry=provider), start_span("work") as span:
        assert not span.is_sampled
        assert inject_headers()["traceparent"].endswith("-00")

    assert (exporter.get_finished_spans(), taken.spans) == ((), [])


def test_decorating_alone_exports_nothing(sdk: Sdk) -> None:
    @start_span("work")
    def work() -> None: ...

    assert sdk.names == []
    work()
    assert sdk.names == ["work"]


def test_leaving_in_another_context_logs_no_error(sdk: Sdk, caplog: pytest.LogCaptureFixture) -> None:
    import contextvars

    span = start_span("work")
    contextvars.copy_context().run(span.__enter__)
    span.__exit__(None, None, None)

    assert caplog.records == []
    assert sdk.names == ["work"]
    assert get_active_span() is None


@contextmanager
def _fresh_interpreter(code: str) -> Iterator[str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    yield done.stdout


def test_auto_uses_the_provider_that_the_application_has_set() -> None:
    code = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from undercroft.monitoring import setup_tracing, start_span
trace.set_tracer_provider(TracerProvider())
for asked in ("auto", True):
    with setup_tracing(opentelemetry=asked) as setup, start_span("work") as span:
        print(setup.uses_opentelemetry, f"{trace.get_current_span().get_span_context().span_id:016x}" == span.span_id)
"""
    with _fresh_interpreter(code) as output:
        assert output.split() == ["True", "True"] * 2


def test_auto_loads_nothing_where_the_application_has_not() -> None:
    code = """
import sys
from undercroft.monitoring import setup_tracing, start_span
with setup_tracing(opentelemetry="auto") as setup, start_span("work"):
    print(setup.uses_opentelemetry, any(name.startswith("opentelemetry") for name in sys.modules))
"""
    with _fresh_interpreter(code) as output:
        assert output.split() == ["False", "False"]


def test_auto_without_a_provider_makes_spans_itself() -> None:
    with setup_tracing(opentelemetry="auto") as setup:  # the API is imported here, and nothing is set
        assert not setup.uses_opentelemetry


def test_required_provider_that_is_missing_is_an_error_with_the_remedy() -> None:
    with pytest.raises(OpenTelemetryError, match="set_tracer_provider"):
        setup_tracing(opentelemetry=True)
