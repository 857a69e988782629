"""A registry: counting by name, reading what was counted, and exposing it."""

from __future__ import annotations

from _thread import RLock
from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from typing import TYPE_CHECKING, TypeVar, get_args

from undercroft._core.errors import near_names
from undercroft.monitoring._errors import MetricTypeError, MetricValueError
from undercroft.monitoring._metrics._catalog import Catalog
from undercroft.monitoring._metrics._collecting import Collectors
from undercroft.monitoring._metrics._fork import watch
from undercroft.monitoring._metrics._metric import Declaration, Metric
from undercroft.monitoring._metrics._names import LabelSet, MetricType, label_set, label_text
from undercroft.monitoring._metrics._numbers import MOST, PLAIN, counter_value, finite, number
from undercroft.monitoring._metrics._series import CounterSeries, GaugeSeries, HistogramSeries, Series
from undercroft.monitoring._metrics._threads import exact
from undercroft.monitoring._metrics._timer import Timer
from undercroft.monitoring._metrics._values import Collector, HistogramValue, MetricValue
from undercroft.monitoring._metrics._warn import warn

if TYPE_CHECKING:
    from undercroft._core.clock import Clock
    from undercroft.monitoring._metrics._attachment import Attachment
    from undercroft.monitoring._metrics._families import Family, Source
    from undercroft.monitoring._metrics._shared import Shared

S = TypeVar("S", bound=Series)
Labels = Mapping[str, object] | None
RedactLabel = Callable[[str, object], object]
OVERFLOWED = "undercroft_metrics_overflowed_total"
_OVERFLOWED = Declaration(help="Updates of series that a metric has no room for.", labels=("metric",))
_SPARE_ALIASES = 1000


class Registry:
    """Metrics of a process. Lives as long as the process; nobody closes it.

    `undercroft.monitoring`'s functions are the methods of the one that `registry()` returns. Counting is exact over
    threads, and takes a lock only when a label set is new. Reading tells what *this process* counted; the renderings
    tell, while a directory is attached, what all processes of the directory counted.

    Args:
        max_series: The most label sets of one metric, unless it declares otherwise. Further ones are counted in one
            series, whose labels are all `__overflow__`; the first of them is warned of, and
            `undercroft_metrics_overflowed_total` counts each update.
        clock: The time of snapshots and exemplars and the measure of timers; by default the host's.
        redact: `redact(name, value)` returns what may be kept of a label's value. Called when a series is made, and not
            when it is counted again; values that become equal are one series. An open `Infra` sets it for the process.
    """

    def __init__(
        self, *, max_series: int = 2000, clock: Clock | None = None, redact: RedactLabel | None = None
    ) -> None:
        if max_series < 1:
            raise MetricValueError(f"max_series is at least 1, not {max_series!r}")
        self.redact = redact
        """See above; may be set at any time, and holds for series that are made from then on."""
        self._catalog = Catalog(clock=clock, max_series=max_series)
        # Label sets as they are written at the place that counts, in any order, and the series each of them means.
        self._counters: dict[object, CounterSeries] = {}
        self._gauges: dict[object, GaugeSeries] = {}
        self._histograms: dict[object, HistogramSeries] = {}
        self._collectors = Collectors(self)
        self._sources: list[Source] = []
        self._warned: set[str] = set()
        self._shared: Shared | None = None
        watch(self)

    # Counting

    @exact
    def increment(self, name: str, value: float | Mapping[str, object] = 1, labels: Labels = None) -> None:
        """Add to a counter: `increment("orders", 2, {"shop": "1"})`, `increment("orders", {"shop": "1"})`.

        The counter exists from its first use on. It is exposed as `orders_total`, whether it is called so here or not.

        Raises:
            MetricLabelError: A label's name is not allowed, or the metric declares other labels.
            MetricNameError: The name is not letters, digits and `_`.
            MetricTypeError: The name is another kind of metric.
            MetricValueError: The value is negative, not finite, or no number.
        """
        try:
            series = self._counters[name if labels is None else (name, *labels, *labels.values())]
        except (KeyError, TypeError, AttributeError):
            series = None
        if series is None or value.__class__ not in PLAIN or not 0 <= value <= MOST:  # type: ignore[operator]
            given, labels = _swapped(value, labels)
            value = counter_value(name, given)
            series = self._series("counter", name, labels, self._counters)
        series.own += value  # type: ignore[operator] # a number by now
        cells = series.cells
        if cells is not None:
            cells[series.at] = series.base + series.own

    def gauge(self, name: str, value: float, labels: Labels = None) -> None:
        """Set a gauge: what goes up and down, such as a queue's length.

        Raises:
            MetricLabelError: A label's name is not allowed, or the metric declares other labels.
            MetricNameError: The name is not letters, digits and `_`.
            MetricTypeError: The name is another kind of metric.
            MetricValueError: The value is no number; NaN and the infinities are.
        """
        try:
            series = self._gauges[name if labels is None else (name, *labels, *labels.values())]
        except (KeyError, TypeError, AttributeError):
            number(name, value)
            series = self._series("gauge", name, labels, self._gauges)
        series.set(value)

    def observe(self, name: str, value: float, labels: Labels = None) -> None:
        """Count a value in a histogram: durations in seconds, sizes in bytes.

        Without a declaration the buckets are those of request durations: 5 ms to 10 s.

        Raises:
            MetricLabelError: A label's name is not allowed, or the metric declares other labels.
            MetricNameError: The name is not letters, digits and `_`.
            MetricTypeError: The name is another kind of metric.
            MetricValueError: The value is not finite, or no number.
        """
        try:
            series = self._histograms[name if labels is None else (name, *labels, *labels.values())]
        except (KeyError, TypeError, AttributeError):
            finite(name, value)
            series = self._series("histogram", name, labels, self._histograms)
        series.observe(value)

    def timer(self, name: str, labels: Labels = None) -> Timer:
        """Return what observes seconds in the histogram `name`: around a block (`with`), or around a function (`@`)."""
        return Timer(lambda seconds: self.observe(name, seconds, labels), self._catalog.monotonic)

    def track_metric(
        self,
        name: str,
        value: float = 1,
        tags: Labels = None,
        *,
        type: MetricType = "counter",  # noqa: A002
    ) -> None:
        """Record a value in a metric of the kind that `type` says.

        Raises:
            MetricTypeError: There is no such kind, or the name is another kind of metric.
        """
        recorders: Mapping[str, Callable[[str, float, Labels], None]] = {
            "counter": self.increment,
            "gauge": self.gauge,
            "histogram": self.observe,
        }
        if type not in recorders:
            raise MetricTypeError(
                f"{type!r} is no kind of metric",
                near=near_names(str(type), recorders),
                hint=f"one of {', '.join(get_args(MetricType))}",
            )
        recorders[type](name, value, tags)

    # Reading what this process counted

    def get_counter(self, name: str, labels: Labels = None) -> float:
        """Return the counter's value with exactly these labels; 0 when it was never counted.

        Raises:
            MetricTypeError: The name is another kind of metric.
        """
        series = self._existing("counter", name, labels, CounterSeries)
        return series.own if series else 0.0

    def get_gauge(self, name: str, labels: Labels = None) -> float:
        """Return the gauge's value with exactly these labels; 0 when it was never set.

        Raises:
            MetricTypeError: The name is another kind of metric.
        """
        series = self._existing("gauge", name, labels, GaugeSeries)
        return series.own if series else 0.0

    def get_histogram(self, name: str, labels: Labels = None) -> HistogramValue:
        """Return what the histogram holds with exactly these labels; empty when nothing was observed.

        Raises:
            MetricTypeError: The name is another kind of metric.
        """
        from undercroft.monitoring._metrics._snapshot import histogram_value

        series = self._existing("histogram", name, labels, HistogramSeries)
        return histogram_value(series) if series else HistogramValue()

    def get_all_metrics(self) -> list[MetricValue]:
        """Return every series that this process has used, after the collecting functions ran."""
        from undercroft.monitoring._metrics._snapshot import values_of

        self._collectors.run()
        return values_of(self._catalog)

    def clear_metrics(self) -> None:
        """Forget what was counted, and every metric that is not declared. For tests.

        What is in an attached directory stays there: a counter that was scraped never goes down.
        """
        with self._catalog.lock:
            self._catalog.clear()
            for aliases in (self._counters, self._gauges, self._histograms):
                aliases.clear()
            self._warned.clear()
            self._collectors.forget()
            if self._shared is not None:
                self._shared.forget()

    # Exposing

    def render_prometheus(self) -> str:
        """Return every metric in Prometheus' text format 0.0.4."""
        from undercroft.monitoring._metrics._exposition import prometheus_text

        return prometheus_text(self._families(), self._sources)

    def render_openmetrics(self) -> str:
        """Return every metric in OpenMetrics 1.0, with exemplars."""
        from undercroft.monitoring._metrics._exposition import openmetrics_text

        return openmetrics_text(self._families(), self._sources)

    def negotiate(self, accept: str) -> tuple[Callable[[], str], str]:
        """Return the rendering that an `Accept` header prefers, and its content type; the text format when in doubt."""
        from undercroft.monitoring._metrics._negotiate import OPENMETRICS, TEXT, prefers_openmetrics

        if prefers_openmetrics(accept):
            return self.render_openmetrics, OPENMETRICS
        return self.render_prometheus, TEXT

    def collect(self, collector: Collector) -> Callable[[], None]:
        """Call `collector` before each exposition, and return a function that ends this. Usable as a decorator.

        It sets gauges itself, or returns `Reading`s: of gauges, or of counters that someone else counts, each with
        the total so far. One that raises is warned of once; the exposition goes on without it. It must not wait long,
        for it runs within the scrape. Of several processes only the one that is scraped calls its own.
        """
        return self._collectors.add(collector)

    def include(self, source: Source) -> None:
        """Expose another library's metrics beside these: see `undercroft.monitoring.prometheus`.

        Raises:
            MetricTypeError: A name is taken; both owners are named.
        """
        with self._catalog.lock:
            if source not in self._sources:
                self._catalog.reserve(source.names(), source.owner)
                self._sources = [*self._sources, source]

    # Sharing

    def attach(self, directory: str | PathLike[str]) -> Attachment:
        """Share metrics with all processes that attach `directory`, until the returned handle is detached.

        Raises:
            MetricsDirectoryError: The directory cannot be used, or another one is attached.
        """
        from undercroft.monitoring._metrics._shared import Shared  # files and locks: late, for who counts alone

        with self._catalog.lock:
            self._shared = self._shared or Shared(self._catalog)
        return self._shared.attach(directory)

    # The inside

    def fork(self) -> None:
        """Begin anew in a child of the process: it counts from zero, into a segment of its own."""
        shared = self._shared
        is_shared = shared is not None and shared.is_attached
        for _, series in self._catalog.all_series():
            series.restart(is_shared=is_shared)
        if shared is not None:
            shared.fork()

    @property
    def lock(self) -> RLock:
        """Held while metrics are made, and while the process forks."""
        return self._catalog.lock

    def declare(self, kind: MetricType, name: str, declaration: Declaration) -> Metric:
        """Return the declared metric; `Counter`, `Gauge` and `Histogram` call this."""
        return self._catalog.obtain(kind, name, declaration)

    def series(self, metric: Metric, labels: LabelSet) -> Series:
        """Return one series of a metric, made now if it is new; the overflow series when there is no room."""
        labels = self._shown(labels)
        series = metric.series.get(labels) or self._catalog.add(metric, labels)
        if series is metric.overflow and series.labels != labels:
            self._tell_overflow(metric)
        return series

    def _series(self, kind: MetricType, name: str, labels: Labels, aliases: dict[object, S]) -> S:
        alias = _alias(name, labels)
        known = aliases.get(alias)
        if known is not None:
            return known
        metric = self._catalog.obtain(kind, name)
        wanted = label_set(labels)
        series: S = self.series(metric, wanted)  # type: ignore[assignment] # of this kind, as the aliases are
        if series.labels == wanted:
            if len(aliases) > 4 * self._catalog.series_count + _SPARE_ALIASES:  # each label set in each order
                aliases.clear()
            aliases[alias] = series
        return series

    def _shown(self, labels: LabelSet) -> LabelSet:
        redact = self.redact
        return labels if redact is None else tuple((name, str(redact(name, value))) for name, value in labels)

    def _existing(self, kind: MetricType, name: str, labels: Labels, of: type[S]) -> S | None:
        metric = self._catalog.find(kind, name)
        if metric is None:
            return None
        wanted = self._shown(label_set(labels))
        metric.check(wanted)
        series = metric.series.get(wanted)
        return series if isinstance(series, of) else None

    def _tell_overflow(self, metric: Metric) -> None:
        if metric.family == OVERFLOWED.removesuffix("_total"):
            return
        if metric.family not in self._warned:
            self._warned.add(metric.family)
            warn(
                "the metric %s has too many label sets (%d); new ones are counted as one, with the labels __overflow__:"
                " put what varies without end (ids, paths) into log lines instead",
                metric.name,
                len(metric.series) - 1,
            )
        self._catalog.obtain("counter", OVERFLOWED, _OVERFLOWED)
        self.increment(OVERFLOWED, 1, {"metric": metric.family})

    def _families(self) -> Iterable[Family]:
        from undercroft.monitoring._metrics._families import own_families

        self._collectors.run()
        shared = self._shared
        return own_families(self._catalog) if shared is None or not shared.is_attached else shared.families()


def _alias(name: object, labels: object) -> object:
    """Return what a label set is remembered by; `None`, which nothing is, for what is none."""
    if not isinstance(name, str) or labels is None:
        return name if isinstance(name, str) else None
    return (name, *labels, *map(label_text, labels.values())) if isinstance(labels, Mapping) else None


def _swapped(value: object, labels: Labels) -> tuple[object, Labels]:
    """Return value and labels, where labels may have been given in the value's place."""
    if not isinstance(value, Mapping):
        return value, labels
    if labels is not None:
        raise MetricValueError("labels were given twice, and no value", hint="increment(name, value, labels)")
    return 1, value
