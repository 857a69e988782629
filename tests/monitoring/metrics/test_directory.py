"""One directory, several processes; here several registries, each with a segment of its own."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import struct
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.monitoring.metrics._reading import openmetrics_families, samples, value
from undercroft._core.errors import Kind
from undercroft.monitoring import Counter, Gauge, Histogram, MetricsDirectoryError, Registry
from undercroft.monitoring._metrics import _slots
from undercroft.monitoring._metrics._assemble import Merged, rebinned
from undercroft.monitoring._metrics._records import SeriesRecord


def attached(directory: Path, count: int) -> list[Registry]:
    registries = [Registry() for _ in range(count)]
    for registry in registries:
        registry.attach(directory)
    return registries


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if path.name != "lock")


def test_exposition_tells_of_all_and_reading_of_this_one(directory: Path) -> None:
    first, second = attached(directory, 2)
    first.increment("orders", 2, {"shop": "1"})
    second.increment("orders", 3, {"shop": "1"})
    second.increment("others")
    for registry in (first, second):
        assert samples(registry) == {
            ("orders_total", frozenset({("shop", "1")})): 5,
            ("others_total", frozenset()): 1,
        }
    assert first.get_counter("orders", {"shop": "1"}) == 2
    assert [metric.name for metric in first.get_all_metrics()] == ["orders"]


def test_histograms_add_up_bucket_by_bucket(directory: Path) -> None:
    first, second = attached(directory, 2)
    first.observe("seconds", 0.3)
    second.observe("seconds", 0.3)
    second.observe("seconds", 99)
    family = openmetrics_families(first)["seconds"]
    found = {sample.labels.get("le", sample.name): sample.value for sample in family.samples}
    assert (found["0.25"], found["0.5"], found["10.0"], found["+Inf"]) == (0, 2, 2, 3)
    assert (found["seconds_count"], found["seconds_sum"]) == (3, 99.6)


def test_what_was_counted_before_attaching_is_shared(directory: Path) -> None:
    registry, other = Registry(), Registry()
    registry.increment("orders", 5)
    registry.observe("seconds", 1)
    registry.gauge("waiting", 2)
    registry.attach(directory)
    other.attach(directory)
    assert value(other, "orders_total") == 5
    assert value(other, "seconds_count") == 1
    assert value(other, "waiting") == 2


def test_help_and_unit_are_known_to_processes_that_do_not_declare(directory: Path) -> None:
    first, second = attached(directory, 2)
    second.increment("later_bytes")
    Counter("sent_bytes", help="By\ntes.", unit="bytes", registry=second).increment()
    Counter("later_bytes", help="Later.", registry=second)
    families = openmetrics_families(first)
    assert (families["sent_bytes"].documentation, families["sent_bytes"].unit) == ("By\ntes.", "bytes")
    assert families["later_bytes"].documentation == "Later."


def test_detached_process_goes_on_counting_for_itself(directory: Path) -> None:
    first, second = attached(directory, 2)
    attachment = Registry().attach(directory)
    first.increment("orders", 2)
    first._shared.detach()  # type: ignore[union-attr]
    first.increment("orders")
    assert first.get_counter("orders") == 3
    assert value(first, "orders_total") == 3
    assert value(second, "orders_total") == 2
    attachment.detach()
    attachment.detach()


@given(st.lists(st.one_of(st.floats(0, 1e6), st.sampled_from(["attach", "detach", "other"])), max_size=30))
def test_attaching_again_counts_nothing_twice(tmp_path_factory: pytest.TempPathFactory, steps: list[object]) -> None:
    base = tmp_path_factory.mktemp("again")
    reader = Registry()
    reader.attach(base / "a")
    registry, attachment = Registry(), None
    counted, before = 0.0, 0.0
    for step in steps:
        if step in ("attach", "other") and attachment is None:
            attachment = registry.attach(base / ("a" if step == "attach" else "b"))
        elif step == "detach" and attachment is not None:
            attachment.detach()
            attachment = None
        elif isinstance(step, float):
            registry.increment("orders", step)
            counted += step
        now = value(reader, "orders_total") or 0.0
        assert now >= before
        before = now
    if attachment is not None:
        attachment.detach()
    with registry.attach(base / "a"):
        assert registry.get_counter("orders") == counted
        assert (value(reader, "orders_total") or 0.0) == pytest.approx(counted)
        assert len(files(base / "a")) <= 2


def test_next_holder_of_a_segment_goes_on_from_its_counts(directory: Path) -> None:
    reader = Registry()
    reader.attach(directory)
    for _ in range(5):
        registry = Registry()
        with registry.attach(directory):
            registry.increment("orders", 0.1)
            registry.observe("seconds", 0.3)
            assert registry.get_counter("orders") == 0.1
    assert value(reader, "orders_total") == pytest.approx(0.5)
    assert value(reader, "seconds_count") == 5
    assert files(directory) == ["0000.metrics", "0001.metrics"]


def test_counts_of_the_dead_stay_and_their_gauges_do_not(directory: Path) -> None:
    first, second = attached(directory, 2)
    first.increment("orders", 2)
    first.gauge("waiting", 7)
    second.gauge("waiting", 1)
    first._shared.detach()  # type: ignore[union-attr]
    assert value(second, "orders_total") == 2
    assert value(second, "waiting") == 1
    (third,) = attached(directory, 1)
    assert value(third, "waiting") == 1
    third.gauge("waiting", 3)
    assert value(second, "waiting") == 4


@pytest.mark.parametrize(("across", "expected"), [("sum", 9), ("max", 5), ("min", 1), ("last", 1)])
def test_gauge_is_one_value_as_declared(directory: Path, across: str, expected: float) -> None:
    registries = attached(directory, 3)
    for registry, number in zip(registries, (3, 5, 1), strict=True):
        Gauge("waiting", across=across, registry=registry).set(number)  # type: ignore[arg-type]
    assert value(registries[0], "waiting") == expected
    assert value(attached(directory, 1)[0], "waiting") == expected


def test_gauge_of_each_process_has_the_label_worker(directory: Path, registry: Registry) -> None:
    for number, each in enumerate(attached(directory, 2)):
        Gauge("size", across="each", labels=("of",), registry=each).set(number + 5, of="x")
        last = each
    assert samples(last) == {
        ("size", frozenset({("of", "x"), ("worker", "0")})): 5,
        ("size", frozenset({("of", "x"), ("worker", "1")})): 6,
    }
    Gauge("size", across="each", registry=registry).set(1)
    assert samples(registry) == {("size", frozenset({("worker", "0")})): 1}


def test_nan_does_not_hide_the_greatest(directory: Path) -> None:
    first, second = attached(directory, 2)
    Gauge("size", across="max", registry=first).set(float("nan"))
    Gauge("size", across="max", registry=second).set(2)
    assert value(first, "size") == 2


def test_exemplars_of_this_process_are_in_the_exposition_of_all(directory: Path) -> None:
    from undercroft._core.context import Correlation, Trace, correlate

    first, _ = attached(directory, 2)
    with correlate(Correlation(trace=Trace.new())):
        first.observe("seconds", 0.3, {"of": "x"})
    assert first.render_openmetrics().count(" # {trace_id=") == 1


def test_clearing_takes_nothing_back_from_the_directory(directory: Path) -> None:
    first, second = attached(directory, 2)
    handle = Counter("declared", registry=first).labels()
    handle.increment(2)
    first.increment("orders", 2)
    first.observe("seconds", 1)
    first.gauge("waiting", 1)
    first.clear_metrics()
    assert first.get_all_metrics() == []
    handle.increment()
    first.increment("orders")
    first.observe("seconds", 1)
    assert (handle.value, first.get_counter("orders"), first.get_histogram("seconds").count) == (1, 1, 1)
    assert value(second, "orders_total") == value(second, "declared_total") == 3
    assert value(second, "seconds_count") == 2
    assert value(second, "waiting") is None


def test_cleared_process_attaches_again_and_takes_nothing_back(directory: Path) -> None:
    registry = Registry()
    with registry.attach(directory):
        registry.increment("orders", 5)
    registry.clear_metrics()
    with registry.attach(directory):
        registry.increment("orders")
        assert value(registry, "orders_total") == 6


def test_handles_are_counted_and_the_last_one_ends_the_sharing(directory: Path) -> None:
    registry = Registry()
    first, second = registry.attach(directory), registry.attach(directory / ".")
    first.detach()
    first.detach()
    registry.increment("orders")
    (other,) = attached(directory, 1)
    assert value(other, "orders_total") == 1
    second.detach()
    registry.increment("orders")
    assert value(other, "orders_total") == 1


def test_second_directory_is_refused(directory: Path, tmp_path: Path) -> None:
    registry = Registry()
    with registry.attach(directory), pytest.raises(MetricsDirectoryError, match=r"shared in .* already"):
        registry.attach(tmp_path / "other")
    with registry.attach(tmp_path / "other"):
        registry.increment("orders")


def test_directory_that_is_removed_takes_only_the_others_along(directory: Path) -> None:
    first, second = attached(directory, 2)
    first.increment("orders")
    second.increment("orders")
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()
    first.increment("orders")
    assert value(first, "orders_total") == 2


# Processes that disagree


def test_two_kinds_of_one_name_do_not_break_the_exposition(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second = attached(directory, 2)
    first.increment("orders", 2)
    second.gauge("orders", 7)
    second.gauge("others", 1)
    first.increment("others_total")
    for _ in range(2):
        assert samples(first) == {("orders_total", frozenset()): 2, ("others_total", frozenset()): 1}
        assert samples(second) == {("orders", frozenset()): 7, ("others", frozenset()): 1}
    assert caplog.text.count("the gauge 'orders' of another process is left out") == 1


def test_other_buckets_are_moved_into_this_processes(directory: Path) -> None:
    first, second = attached(directory, 2)
    Histogram("size", buckets=(1, 2, 4), registry=first).observe(1.5)
    Histogram("size", buckets=(1.5, 4), registry=second).observe(1.2)
    found = {sample.labels.get("le"): sample.value for sample in openmetrics_families(first)["size"].samples}
    assert (found["1.0"], found["2.0"], found["+Inf"]) == (0, 2, 2)
    found = {sample.labels.get("le"): sample.value for sample in openmetrics_families(second)["size"].samples}
    assert (found["1.5"], found["4.0"], found["+Inf"]) == (1, 2, 2)


BOUNDS = st.lists(st.integers(-10, 10), unique=True).map(lambda bounds: tuple(map(float, sorted(bounds))))


@given(BOUNDS, BOUNDS, st.data())
def test_moved_counts_stay_exact_and_on_the_safe_side(
    old: tuple[float, ...], new: tuple[float, ...], data: st.DataObject
) -> None:
    counts = [float(data.draw(st.integers(0, 9))) for _ in range(len(old) + 1)]
    record = SeriesRecord("histogram", "size", (), "", "sum", old, len(old) + 2)
    total, *moved = rebinned(Merged(record, [5.0, *counts], []), new)
    assert (total, sum(moved), len(moved)) == (5.0, sum(counts), len(new) + 1)
    for index, bound in enumerate(new):
        surely = sum(count for upper, count in zip(old, counts, strict=False) if upper <= bound)
        assert sum(moved[: index + 1]) == surely


# Room


def test_cap_holds_over_all_holders_of_a_segment(directory: Path) -> None:
    for holder in range(4):
        registry = Registry(max_series=3)
        with registry.attach(directory):
            for number in range(2):
                registry.increment("orders", 1, {"of": f"{holder}-{number}"})
            found = {labels: count for (name, labels), count in samples(registry).items() if name == "orders_total"}
            assert len(found) <= 4
            assert sum(found.values()) == 2 * (holder + 1)


def test_full_segment_counts_new_series_as_one(
    directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = attached(directory, 2)
    first.increment("orders", 1, {"of": "early"})

    def no_room(descriptor: int, at: int, size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", no_room)
        for number in range(3000):
            first.increment("orders", 1, {"of": f"{number}".rjust(200)})
    assert (
        value(second, "orders_total", of="__overflow__") == first.get_counter("orders", {"of": "__overflow__"}) > 2000
    )
    assert sum(count for (name, _), count in samples(second).items() if name == "orders_total") == 3001
    assert caplog.text.count("takes no more series (No space left on device)") == 1
    first.increment("orders", 5, {"of": "early"})
    assert value(second, "orders_total", of="early") == 6


def test_many_metrics_fill_a_segment_and_stay_exact(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    registry = Registry(max_series=100_000)
    registry.attach(directory)
    for number in range(900):
        registry.increment("orders", 1, {f"of{place}": f"{number}".rjust(1000) for place in range(10)})
    together = {f"of{place}": "__overflow__" for place in range(10)}
    assert value(registry, "orders_total", **together) == registry.get_counter("orders", together) > 50
    assert sum(count for (name, _), count in samples(registry).items() if name == "orders_total") == 900
    assert "it is full" in caplog.text


def test_file_takes_what_is_used_of_it(directory: Path) -> None:
    attached(directory, 1)
    assert (directory / "0000.metrics").stat().st_blocks * 512 <= 64 * 1024


# Damage


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"hello", "too short"),
        (b"x" * 5000, "not a file of metrics"),
        (b"UCMETRIC" + struct.pack("=IIQQQ", 2, 0, 1, 0, 0) + bytes(9000), "of version 2"),
        (b"UCMETRIC" + struct.pack("=IIQQQ", 1, 0, 1, 0, 0), "too short"),
    ],
)
def test_foreign_file_is_set_aside(directory: Path, content: bytes, why: str, caplog: pytest.LogCaptureFixture) -> None:
    directory.mkdir()
    (directory / "0000.metrics").write_bytes(content)
    registry = Registry()
    with registry.attach(directory):
        registry.increment("orders")
        assert value(registry, "orders_total") == 1
    assert files(directory) == ["0000.metrics", "0000.set-aside"]
    assert (directory / "0000.set-aside").read_bytes() == content
    assert why in caplog.text


@pytest.mark.parametrize("length", [0, 1, 40, 4096])
def test_file_whose_making_was_interrupted_is_made_again(directory: Path, length: int) -> None:
    directory.mkdir()
    (directory / "0000.metrics").write_bytes(bytes(length))
    registry = Registry()
    with registry.attach(directory):
        registry.increment("orders")
    assert files(directory) == ["0000.metrics"]


def damaged(directory: Path, at: int, content: bytes) -> Registry:
    registry = Registry()
    with registry.attach(directory):
        registry.increment("orders", 5)
        registry.observe("seconds", 1)
        registry.gauge("waiting", 1)
    with (directory / "0000.metrics").open("r+b") as file:
        file.seek(at)
        file.write(content)
    return Registry()


KEYS_AT = 4096 + 8 * 524_288


@pytest.mark.parametrize(
    ("at", "content"),
    [
        (24, struct.pack("=Q", 2**40)),
        (24, struct.pack("=Q", 10)),
        (4096, struct.pack("=d", -1)),
        (4096, struct.pack("=d", float("nan"))),
        (4096 + 16, struct.pack("=d", float("inf"))),
        (KEYS_AT, b"\0\0\0\0"),
        (KEYS_AT, b"[1,2"),
        (KEYS_AT + 1, b'"serious"'),
        (KEYS_AT + 20, b"\n"),
        (KEYS_AT + 21, b"a b"),
    ],
)
def test_torn_file_is_set_aside_and_does_not_stop_anybody(
    directory: Path, at: int, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    registry = damaged(directory, at, content)
    with registry.attach(directory):
        registry.increment("orders")
        assert value(registry, "orders_total") == 1
    if content != b'"serious"':
        assert files(directory) == ["0000.metrics", "0000.set-aside"]
        assert "set aside" in caplog.text


@given(st.integers(0, 8), st.binary(min_size=1, max_size=40), st.booleans())
@example(7, b"1", True)  # a bound of a histogram that is above the next one
def test_no_damage_raises(tmp_path_factory: pytest.TempPathFactory, step: int, content: bytes, in_keys: bool) -> None:
    directory = tmp_path_factory.mktemp("damage")
    registry = damaged(directory, KEYS_AT + 13 * step if in_keys else 8 * step, content)
    logging.disable()
    try:
        with registry.attach(directory):
            registry.increment("orders")
            openmetrics_families(registry)
    finally:
        logging.disable(logging.NOTSET)


def test_reader_leaves_out_what_it_cannot_read(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    (registry,) = attached(directory, 1)
    registry.increment("orders")
    (directory / "0007.metrics").write_bytes(b"x" * 5000)
    (directory / "0008.metrics").write_bytes(b"")
    for _ in range(2):
        assert samples(registry) == {("orders_total", frozenset()): 1}
    assert caplog.text.count("0007.metrics is left out: it is not a file of metrics") == 1


def test_reader_keeps_what_it_knows_of_a_file_that_is_damaged_later(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reader, other = attached(directory, 2)
    other.increment("orders", 2)
    assert value(reader, "orders_total") == 2
    other.increment("others")
    other.increment("orders", 1)
    line = b'["series","counter","orders"'
    content = (directory / "0001.metrics").read_bytes()
    with (directory / "0001.metrics").open("r+b") as file:
        file.seek(content.index(b'["series","counter","others"'))
        file.write(b"x" * len(line))
    for _ in range(2):
        assert samples(reader) == {("orders_total", frozenset()): 3}
    assert caplog.text.count("new series in the metrics' file 0001.metrics are left out") == 1


# A directory that cannot be used


def test_lock_that_somebody_keeps_only_delays(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (registry,) = attached(directory, 1)
    monkeypatch.setattr(_slots, "_WAIT_S", 0.01)
    descriptor = os.open(directory / "lock", os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        (other,) = attached(directory, 1)
        other.increment("orders")
        other.gauge("waiting", 1)
        assert value(registry, "orders_total") == value(registry, "waiting") == 1
    finally:
        os.close(descriptor)


def test_directory_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    registry = Registry()
    with pytest.raises(MetricsDirectoryError, match="cannot be shared") as caught:
        registry.attach(tmp_path / "file" / "metrics")
    assert caught.value.kind is Kind.UNAVAILABLE
    registry.increment("orders")
    assert value(registry, "orders_total") == 1
    registry.attach(tmp_path / "metrics").detach()


def test_full_disk_is_an_error_at_once(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(descriptor: int, at: int, size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", no_room)
    with pytest.raises(MetricsDirectoryError, match="No space left on device"):
        Registry().attach(directory)


def test_directory_that_may_not_be_written_is_an_error(directory: Path, as_nobody: object) -> None:
    directory.mkdir(mode=0o755)
    as_nobody()  # type: ignore[operator]
    with pytest.raises(MetricsDirectoryError, match="Permission denied"):
        Registry().attach(directory)
