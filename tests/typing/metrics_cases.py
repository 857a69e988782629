from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import assert_type

from undercroft.monitoring import (
    Attachment,
    Counter,
    CounterSeries,
    Gauge,
    GaugeSeries,
    Histogram,
    HistogramSeries,
    HistogramValue,
    MetricsService,
    MetricValue,
    Reading,
    Registry,
    Timer,
    attach,
    gauge,
    get_all_metrics,
    get_counter,
    get_gauge,
    get_histogram,
    increment,
    negotiate,
    observe,
    registry,
    render_openmetrics,
    render_prometheus,
    timer,
    track_metric,
)
from undercroft.monitoring.prometheus import include_registry

# counting by name
increment("orders")
increment("orders", 2)
increment("orders", 2, {"shop": 1, "is_new": True})
increment("orders", {"shop": "1"})
increment("orders", "2")  # E: arg-type
increment("orders", 1, ["shop"])  # E: arg-type
gauge("waiting", 2.5, {"queue": "a"})
gauge("waiting")  # E: call-arg
observe("seconds", 0.2)
track_metric("size", 5, {"a": "b"}, type="histogram")
track_metric("size", type="summary")  # E: arg-type

# reading
assert_type(get_counter("orders", {"shop": "1"}), float)
assert_type(get_gauge("waiting"), float)
assert_type(get_histogram("seconds"), HistogramValue)
assert_type(get_histogram("seconds").quantile(0.95), float)
assert_type(get_all_metrics(), list[MetricValue])
get_all_metrics()[0].value = 5  # E: misc
assert_type(render_prometheus(), str)
assert_type(render_openmetrics(), str)
render, content_type = negotiate("text/plain")
assert_type(render, Callable[[], str])
assert_type(registry(), Registry)


# timing
@timer("seconds", {"what": "sync"})
def add(left: int, *, right: int) -> int:
    return left + right


@timer("seconds")
async def fetch(path: str) -> bytes:
    return path.encode()


assert_type(add(1, right=2), int)
add("1", right=2)  # E: arg-type


async def timed() -> None:
    assert_type(await fetch("x"), bytes)
    with timer("seconds") as measured:
        pass
    assert_type(measured, Timer)
    assert_type(measured.elapsed_s, float | None)


# declaring
requests = Counter("requests_total", help="Requests.", labels=("method", "status"), unit="", max_series=10)
requests.increment(method="GET", status=200)
requests.increment(2, method="GET", status=200)
requests.increment("2", method="GET", status=200)  # E: arg-type
assert_type(requests.labels("GET", "200"), CounterSeries)
assert_type(requests.labels("GET", "200").value, float)
waiting = Gauge("waiting_jobs", across="max")
waiting.set(5)
assert_type(waiting.labels(), GaugeSeries)
Gauge("waiting_jobs", across="median")  # E: arg-type
Counter("requests_total", "Requests.")  # E: call-arg
seconds = Histogram("request_seconds", buckets=[0.1, 1], registry=Registry(max_series=5))
assert_type(seconds.labels(), HistogramSeries)


@seconds.time()
def work() -> str:
    return "x"


assert_type(work(), str)


# collecting, sharing, handing on
def lengths() -> Iterator[Reading]:
    yield Reading("waiting", 5, {"queue": "a"})
    yield Reading("sent", 5, type="counter")
    yield Reading("sent", 5, type="histogram")  # E: arg-type


assert_type(registry().collect(lengths), Callable[[], None])
registry().collect(lambda: gauge("waiting", 5))
registry().collect(lambda: 5)  # E: arg-type,return-value

assert_type(attach("metrics"), Attachment)
with attach(Path("metrics")) as attachment:
    attachment.detach()
attach(5)  # E: arg-type

service = MetricsService()
assert_type(service.get_metrics(), str)
assert_type(service.registry, Registry)


class Theirs:
    def collect(self) -> Iterable[object]:
        return ()


include_registry(Theirs(), registry=Registry())
include_registry(object())  # E: arg-type
