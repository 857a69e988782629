"""The error tracker: what it counts, what it keeps, what it never lets through."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.monitoring.tracking._raising import PAY, raised
from undercroft._core.clock import VirtualClock, utc
from undercroft._core.context import Correlation, Trace, correlate
from undercroft._core.errors import UndercroftError
from undercroft.monitoring import ErrorCategory, ErrorSnapshot, ErrorTracker, TrackingError, get_counter, similarity

THREADS, EACH = 8, 200


def hide_cards(shown: Mapping[str, object]) -> Mapping[str, object]:
    """A redactor: whatever has 4111 in it is hidden, at any depth."""
    text = msgspec.json.encode(shown).decode().replace("4111", "***")
    return msgspec.json.decode(text, type=dict[str, object])


def new_tracker(clock: VirtualClock | None = None, **options: Any) -> ErrorTracker:
    return ErrorTracker(redact=hide_cards, in_app=["shop"], clock=clock or VirtualClock(), **options)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def tracker(clock: VirtualClock) -> ErrorTracker:
    return new_tracker(clock)


@pytest.mark.anyio
async def test_occurrences_of_one_error_are_one_group(tracker: ErrorTracker, clock: VirtualClock) -> None:
    began = clock.time()
    first = tracker.capture_exception(raised(call="charge(1)"))
    await clock.advance("1h")
    second = tracker.capture_exception(raised(call="charge(2)"))

    [group] = tracker.list_groups()
    assert first == second == group.fingerprint
    assert (group.count, group.type, group.place) == (2, "KeyError", "shop.pay:charge")
    assert group.category is ErrorCategory.PROGRAMMING
    assert (group.first_at, group.last_at) == (utc(began), utc(began) + timedelta(hours=1))


def test_last_occurrence_is_the_sample(tracker: ErrorTracker) -> None:
    trace = Trace.new()
    tracker.capture_exception(raised(call="charge(1)"))
    with correlate(Correlation(request_id="r-1", trace=trace, job_id="j-1")):
        tracker.capture_exception(raised(call="charge(2)"), context={"order": {"id": 2}})

    sample = tracker.list_groups()[0].sample
    assert (sample.message, sample.context) == ("2", {"order": {"id": 2}})
    assert sample.stack[0] == "shop.pay:charge line 3"
    assert (sample.request_id, sample.trace_id, sample.job_id) == ("r-1", trace.trace_id, "j-1")


def test_users_are_counted_and_not_kept(tracker: ErrorTracker) -> None:
    for user in ("ada", "ada", "bob", None, ""):
        tracker.capture_exception(raised(), user=user)
    [group] = tracker.list_groups()
    assert (group.count, group.users_count, group.has_more_users) == (5, 2, False)
    assert b"ada" not in msgspec.json.encode(tracker.snapshot())


def test_more_than_a_hundred_users_are_at_least_a_hundred(tracker: ErrorTracker) -> None:
    for number in range(100):
        tracker.capture_exception(raised(), user=f"user {number}")
    assert not tracker.list_groups()[0].has_more_users
    tracker.capture_exception(raised(), user="user 7")
    assert not tracker.list_groups()[0].has_more_users
    tracker.capture_exception(raised(), user="another")
    group = tracker.list_groups()[0]
    assert (group.users_count, group.has_more_users) == (100, True)


def test_group_not_seen_for_longest_is_forgotten_first() -> None:
    tracker = new_tracker(max_groups=2)
    kept, forgotten, newest = (PAY.replace("charge", name) for name in ("charge", "refund", "void"))
    tracker.capture_exception(raised(forgotten, "refund(1)"))
    tracker.capture_exception(raised(kept))
    tracker.capture_exception(raised(kept))
    tracker.capture_exception(raised(newest, "void(1)"))

    snapshot = tracker.snapshot()
    assert [group.place for group in snapshot.groups] == ["shop.pay:void", "shop.pay:charge"]
    assert (snapshot.captured_count, snapshot.forgotten_count) == (4, 1)


def test_secrets_are_hidden_in_message_and_context(tracker: ErrorTracker) -> None:
    tracker.capture_exception(raised(call="charge('card 4111')"), context={"card": ["4111"]})
    assert b"4111" not in msgspec.json.encode(tracker.snapshot())
    assert tracker.list_groups()[0].sample.context == {"card": ["***"]}


def test_what_could_not_be_redacted_is_not_kept() -> None:
    def broken(shown: Mapping[str, object]) -> Mapping[str, object]:
        raise ValueError(f"cannot redact {shown}")

    tracker = ErrorTracker(redact=broken, in_app=["shop"])
    tracker.capture_exception(raised(call="charge('4111')"), context={"card": "4111"})
    group = tracker.list_groups()[0]
    assert (group.count, group.place, group.sample.context) == (1, "shop.pay:charge", {})
    assert group.sample.message == "<not kept, since redacting it failed: ValueError>"
    assert b"4111" not in msgspec.json.encode(tracker.snapshot())


class Silent(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_exception_without_words_is_counted(tracker: ErrorTracker) -> None:
    tracker.capture_exception(Silent())
    assert tracker.list_groups()[0].sample.message == "<unprintable Silent: RuntimeError>"


def test_message_of_our_own_errors_is_without_its_hints(tracker: ErrorTracker) -> None:
    tracker.capture_exception(UndercroftError("no such thing", hint="look elsewhere"))
    assert tracker.list_groups()[0].sample.message == "no such thing"


def test_long_message_is_cut(tracker: ErrorTracker) -> None:
    tracker.capture_exception(ValueError("x" * 5_000))
    assert tracker.list_groups()[0].sample.message == "x" * 1_000 + "…(+4000 characters)"


def _cycle() -> dict[str, object]:
    cycle: dict[str, object] = {}
    cycle["self"] = cycle
    return cycle


@pytest.mark.parametrize(
    ("context", "kept"),
    [
        ({"text": "x" * 5_000}, "<context not kept: 5011 bytes>"),
        (_cycle(), "<context not kept: RecursionError>"),
        ({"broken": "\ud800"}, "<context not kept: UnicodeEncodeError>"),
        ({"object": object()}, None),
    ],
)
def test_context_that_cannot_be_kept_is_a_note(
    tracker: ErrorTracker, context: dict[str, object], kept: str | None
) -> None:
    tracker.capture_exception(raised(), context=context)
    expected = {"object": "<object>"} if kept is None else {"context": kept}
    assert tracker.list_groups()[0].sample.context == expected


LEAVES = st.none() | st.integers() | st.text() | st.floats() | st.builds(object)


@given(
    st.dictionaries(st.text(), st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3), max_leaves=5)),
    st.lists(st.text() | st.builds(object)),
)
def test_capturing_never_raises_and_always_has_a_json_form(context: dict[str, object], arguments: list[object]) -> None:
    tracker = new_tracker()
    tracker.capture_exception(ValueError(*arguments), context=context)
    encoded = msgspec.json.encode(tracker.snapshot())
    assert msgspec.json.decode(encoded, type=ErrorSnapshot).captured_count == 1


def test_context_of_the_caller_is_never_changed(tracker: ErrorTracker) -> None:
    context = {"card": ["4111"]}
    tracker.capture_exception(raised(), context=context)
    assert context == {"card": ["4111"]}


def test_every_occurrence_of_every_thread_is_counted(tracker: ErrorTracker) -> None:
    def capture() -> None:
        for number in range(EACH):
            tracker.capture_exception(raised(), user=f"{number % 50}")

    threads = [threading.Thread(target=capture) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [group] = tracker.list_groups()
    assert (group.count, group.users_count) == (THREADS * EACH, 50)


def test_hotspots_are_the_functions_that_most_errors_come_from(tracker: ErrorTracker) -> None:
    other = PAY.replace("KeyError", "ValueError")
    for source in (PAY, other, other):
        tracker.capture_exception(raised(source))
    refund = tracker.capture_exception(raised(PAY.replace("charge", "refund"), "refund(1)"))
    tracker.capture_exception(KeyError("never raised, and so from nowhere"))

    spots = tracker.hotspots()
    assert [(spot.place, spot.count) for spot in spots] == [("shop.pay:charge", 3), ("shop.pay:refund", 1)]
    assert len(spots[0].fingerprints) == 2
    assert spots[1].fingerprints == (refund,)
    assert tracker.hotspots(limit=1) == spots[:1]


def test_place_is_of_the_package_that_was_named_and_not_of_one_that_begins_alike(tracker: ErrorTracker) -> None:
    library: dict[str, object] = {"__name__": "shopping"}
    exec(compile("def fail(): raise KeyError\n", "/srv/shopping.py", "exec"), library)
    tracker.capture_exception(raised("def pay(fail):\n    fail()\n", "(pay, pay)[0](None)"))
    names = {"__name__": "shop.pay", "fail": library["fail"]}
    exec(compile("def pay(): fail()\n", "/srv/shop.py", "exec"), names)
    with pytest.raises(KeyError) as caught:
        names["pay"]()  # type: ignore[operator]
    tracker.capture_exception(caught.value)
    assert tracker.list_groups()[0].place == "shop.pay:pay"


@pytest.mark.parametrize(
    ("module", "place"), [("undercroft", "app"), ("undercroft.queue", "app"), ("undercroftish", "fail")]
)
def test_undercroft_itself_is_a_library(module: str, place: str) -> None:
    library: dict[str, Any] = {"__name__": module}
    exec(compile("def fail(): raise KeyError\n", "/srv/x.py", "exec"), library)
    names: dict[str, Any] = {"__name__": "app", "fail": library["fail"]}
    exec(compile("def app(): fail()\n", "/srv/app.py", "exec"), names)
    with pytest.raises(KeyError) as caught:
        names["app"]()
    tracker = ErrorTracker(redact=dict)
    tracker.capture_exception(caught.value)
    assert tracker.list_groups()[0].place.endswith(f":{place}")


def test_room_for_one_group_holds_the_last_one() -> None:
    tracker = new_tracker(max_groups=1)
    for kind in ("KeyError", "ValueError", "ValueError"):
        tracker.capture_exception(raised(PAY.replace("KeyError", kind)))
    assert [(group.type, group.count) for group in tracker.list_groups()] == [("ValueError", 2)]


def test_group_is_found_by_its_fingerprint(tracker: ErrorTracker) -> None:
    fingerprint = tracker.capture_exception(raised())
    assert tracker.get_group(fingerprint) == tracker.list_groups()[0]
    assert tracker.get_group("0" * 32) is None


def test_groups_can_be_compared_with_exceptions(tracker: ErrorTracker) -> None:
    tracker.capture_exception(raised())
    [group] = tracker.list_groups()
    assert similarity(group, raised(call="charge(2)"), in_app=["shop"]) == 1.0


def test_member_of_a_group_is_the_sample_of_the_group(tracker: ErrorTracker) -> None:
    tracker.capture_exception(ExceptionGroup("unhandled errors", [raised()]))
    [group] = tracker.list_groups()
    assert (group.place, group.sample.message) == ("shop.pay:charge", "1")
    assert group.type == "KeyError"


def test_every_exception_is_counted_by_category(tracker: ErrorTracker) -> None:
    def count() -> float:
        return get_counter("undercroft_errors_captured_total", {"category": "timeout"})

    before = count()
    for exc in (TimeoutError(), TimeoutError(), KeyError()):
        tracker.capture_exception(exc)
    assert count() - before == 2


def test_cleared_tracker_knows_nothing(tracker: ErrorTracker) -> None:
    tracker.capture_exception(raised())
    tracker.clear()
    assert tracker.snapshot() == ErrorSnapshot(captured_count=0, forgotten_count=0, groups=())


def test_tracker_without_room_is_refused() -> None:
    with pytest.raises(TrackingError, match="max_groups 0"):
        new_tracker(max_groups=0)
