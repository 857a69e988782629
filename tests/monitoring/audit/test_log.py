"""What every audit log promises, over each store."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.monitoring.audit.conftest import hide
from undercroft._core.clock import VirtualClock, utc
from undercroft._core.context import Correlation, Trace, correlate
from undercroft._core.errors import ConfigError, NotOpenError
from undercroft._core.url import UrlError
from undercroft.monitoring import (
    AuditEntry,
    AuditEntryError,
    AuditLog,
    AuditMark,
    AuditOutcome,
    AuditVerdict,
    create_audit_log,
    get_counter,
)

pytestmark = pytest.mark.anyio


async def test_entry_says_who_did_what_to_which_thing(log: AuditLog, clock: VirtualClock) -> None:
    trace = Trace.new()
    with correlate(Correlation(request_id="r-1", trace=trace, job_id="j-1")):
        entry = await log.record(
            "order.refund",
            "order:7",
            actor="ada",
            tenant="acme",
            before={"status": "paid", "total": 9},
            after={"status": "refunded", "total": 9},
            outcome="failure",
            reason="the bank said no",
            ip="2001:db8::1",
        )
    expected = AuditEntry(
        sequence=1,
        at=utc(clock.time()),
        action="order.refund",
        resource="order:7",
        actor="ada",
        tenant="acme",
        outcome=AuditOutcome.FAILURE,
        reason="the bank said no",
        ip="2001:db8::1",
        before={"status": "paid"},
        after={"status": "refunded"},
        request_id="r-1",
        trace_id=trace.trace_id,
        job_id="j-1",
        hash=entry.hash,
    )
    assert entry == expected
    assert await log.search() == [expected]
    assert msgspec.json.decode(msgspec.json.encode(entry), type=AuditEntry) == entry


async def test_least_entry_has_a_success_and_no_changes(log: AuditLog) -> None:
    entry = await log.record("login", "session", actor="ada")
    assert (entry.outcome, entry.before, entry.after, entry.reason) == (AuditOutcome.SUCCESS, None, None, None)


@pytest.mark.parametrize(
    ("before", "after", "kept_before", "kept_after"),
    [
        (None, {"a": 1}, None, {"a": 1}),
        ({"a": 1}, None, {"a": 1}, None),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, {"b": 2}, {"b": 3}),
        ({"a": 1}, {"b": 1}, {"a": 1}, {"b": 1}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, {"a": {"c": 2}}, {"a": {"c": 3}}),
        ({"a": {"b": 1}}, {"a": 1}, {"a": {"b": 1}}, {"a": 1}),
        ({"a": [1, 2]}, {"a": [1, 3]}, {"a": [1, 2]}, {"a": [1, 3]}),
        ({"a": None}, {}, {"a": None}, {}),
        ({"a": 1}, {"a": True}, {"a": 1}, {"a": True}),
        ({"a": 1}, {"a": 1}, {}, {}),
        ({"a": Decimal("1.5")}, {"a": datetime(2026, 1, 1, tzinfo=UTC)}, {"a": "1.5"}, {"a": "2026-01-01T00:00:00Z"}),
    ],
)
async def test_only_what_differs_is_kept(
    log: AuditLog, before: Any, after: Any, kept_before: Any, kept_after: Any
) -> None:
    entry = await log.record("a", "b", actor="c", before=before, after=after)
    assert (entry.before, entry.after) == (kept_before, kept_after)


async def test_states_are_compared_as_deep_as_twenty_levels() -> None:
    def nested(levels: int, value: int) -> dict[str, Any]:
        state: dict[str, Any] = {"same": 0, "value": value}
        for _ in range(levels):
            state = {"same": 0, "inner": state}
        return state

    async with create_audit_log("memory://", redact=dict) as log:
        shallow = await log.record("a", "b", actor="c", before=nested(20, 1), after=nested(20, 2))
        deep = await log.record("a", "b", actor="c", before=nested(21, 1), after=nested(21, 2))
        deepest = await log.record("a", "b", actor="c", before=nested(400, 1), after=nested(400, 2))
    assert [str(entry.after).count("same") for entry in (shallow, deep)] == [0, 1]
    assert "'value': 2" in str(deepest.after)


async def test_largest_state_is_64_kib_of_json(log: AuditLog) -> None:
    text = "x" * (65_536 - len('{"x":""}'))
    entry = await log.record("a", "b", actor="c", after={"x": text})
    assert entry.after == {"x": text}
    with pytest.raises(AuditEntryError, match="65537 bytes"):
        await log.record("a", "b", actor="c", after={"x": text + "x"})


async def test_changed_password_is_seen_to_have_changed_and_is_not_shown(log: AuditLog) -> None:
    before, after = {"user": {"password": "old"}, "card": "4111"}, {"user": {"password": "new"}, "card": "4111 2"}
    entry = await log.record("a", "b", actor="c", before=before, after=after, reason="card 4111 was stolen")
    assert entry.before == {"user": {"password": "***"}, "card": "***"}
    assert entry.after == {"user": {"password": "***"}, "card": "*** 2"}
    assert entry.reason == "card *** was stolen"
    assert before == {"user": {"password": "old"}, "card": "4111"}


async def test_nothing_is_recorded_when_redacting_fails() -> None:
    def broken(shown: Mapping[str, object]) -> Mapping[str, object]:
        raise LookupError("no redactor today")

    async with create_audit_log("memory://", redact=broken) as log:
        with pytest.raises(LookupError):
            await log.record("a", "b", actor="c", after={"password": "x"})
        assert await log.mark() == AuditMark()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"action": ""}, "action is ''"),
        ({"actor": " "}, "actor is ' '"),
        ({"actor": None}, "actor is None"),
        ({"resource": "x" * 513}, "resource has 513 characters, and 512 are the most"),
        ({"reason": "x" * 4097}, "reason has 4097 characters"),
        ({"tenant": "\ud800"}, "half of a surrogate pair at 0"),
        ({"outcome": "succes"}, "near: success"),
        ({"after": ["not", "a", "mapping"]}, "after is a list, not a mapping"),
        ({"after": {"x": object()}}, "after has no JSON form"),
        ({"before": {"x": "\ud800"}}, "before has no JSON form"),
        ({"after": {"x": "x" * 70_000}}, "after is 70008 bytes of JSON, and 65536 are the most"),
    ],
)
async def test_what_cannot_be_recorded_is_refused_and_nothing_is_recorded(
    log: AuditLog, arguments: dict[str, Any], problem: str
) -> None:
    given = {"action": "a", "resource": "b", "actor": "c", **arguments}
    with pytest.raises(AuditEntryError) as caught:
        await log.record(given.pop("action"), given.pop("resource"), **given)
    assert problem in str(caught.value)
    assert await log.search() == []


async def test_secret_in_a_refused_value_is_not_in_the_error(log: AuditLog) -> None:
    with pytest.raises(AuditEntryError) as caught:
        await log.record("a", "b", actor="c", after={"password": "hunter2", "x": object()})
    assert "hunter2" not in str(caught.value)


async def test_entries_are_numbered_without_gaps(log: AuditLog) -> None:
    entries = await asyncio.gather(*(log.record("a", f"order:{n}", actor="c") for n in range(100)))
    assert sorted(entry.sequence for entry in entries) == [*range(1, 101)]
    assert len({entry.hash for entry in entries}) == 100


async def test_search_finds_what_matches_all_that_is_given(log: AuditLog) -> None:
    await log.record("login", "session", actor="ada", tenant="acme")
    await log.record("login", "session", actor="bob", tenant="acme", outcome="denied")
    with correlate(Correlation(request_id="r-9")):
        await log.record("logout", "session:2", actor="ada")

    async def found(**wanted: Any) -> list[int]:
        return [entry.sequence for entry in await log.search(**wanted)]

    assert await found() == [3, 2, 1]
    assert await found(actor="ada") == [3, 1]
    assert await found(actor="ada", action="login") == [1]
    assert await found(tenant="acme", outcome=AuditOutcome.DENIED) == [2]
    assert await found(resource="session") == [2, 1]
    assert await found(request_id="r-9") == [3]
    assert await found(actor="' OR 1=1 --") == []


async def test_search_is_paged_without_overlap(log: AuditLog) -> None:
    for _ in range(7):
        await log.record("a", "b", actor="c")
    pages, older_than = [], None
    while page := await log.search(actor="c", older_than=older_than, limit=3):
        pages.append([entry.sequence for entry in page])
        older_than = page[-1].sequence
    assert pages == [[7, 6, 5], [4, 3, 2], [1]]


async def test_page_of_one_is_a_page(log: AuditLog) -> None:
    for _ in range(2):
        await log.record("a", "b", actor="c")
    assert [entry.sequence for entry in await log.search(limit=1)] == [2]


async def test_name_may_be_as_long_as_it_says(log: AuditLog) -> None:
    entry = await log.record("a" * 512, "b" * 512, actor="c" * 512, reason="d" * 4096)
    assert await log.search() == [entry]


async def test_search_takes_the_time_from_since_to_before_until(log: AuditLog, clock: VirtualClock) -> None:
    began = utc(clock.time())
    for _ in range(4):
        await log.record("a", "b", actor="c")
        await clock.advance("500ms")
    found = await log.search(since=began + timedelta(seconds=0.5), until=began + timedelta(seconds=1.5))
    assert [entry.sequence for entry in found] == [3, 2]
    elsewhere = began.astimezone(timezone(timedelta(hours=5)))
    assert len(await log.search(since=elsewhere)) == 4


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        ({"limit": 0}, "limit 0 is not between 1 and 1000"),
        ({"limit": 1001}, "limit 1001"),
        ({"outcome": "sucess"}, "near: success"),
        ({"since": datetime(2026, 1, 1)}, "has no time zone"),
    ],
)
async def test_search_that_cannot_be_is_refused(log: AuditLog, wanted: dict[str, Any], problem: str) -> None:
    with pytest.raises(AuditEntryError) as caught:
        await log.search(**wanted)
    assert problem in str(caught.value)


async def test_log_that_was_left_alone_is_intact(log: AuditLog) -> None:
    assert await log.verify() == AuditVerdict(is_intact=True, checked_count=0, end=AuditMark())
    recorded = await asyncio.gather(*(log.record("a", "b", actor="c") for _ in range(1_203)))  # more than two pages
    entries = sorted(recorded, key=lambda entry: entry.sequence)
    assert await log.verify() == AuditVerdict(is_intact=True, checked_count=1_203, end=entries[-1].mark)
    assert await log.mark() == entries[-1].mark
    for entry in (entries[0], entries[600], entries[-1]):
        assert (await log.verify(mark=entry.mark)).is_intact
    assert (await log.verify(mark=AuditMark())).is_intact


async def test_log_without_the_entry_of_a_mark_is_not_intact(log: AuditLog) -> None:
    entry = await log.record("a", "b", actor="c")
    shorter = await log.verify(mark=AuditMark(sequence=2, hash=entry.hash))
    assert (shorter.is_intact, shorter.problem) == (False, "the log ends with entry 1, and had entry 2 once")
    anew = await log.verify(mark=AuditMark(sequence=1, hash="f" * 64))
    assert (anew.is_intact, anew.checked_count) == (False, 0)
    assert anew.problem == "entry 1 is not the one of the mark: the log was written anew"


async def test_entries_are_counted_by_outcome(log: AuditLog) -> None:
    before = get_counter("undercroft_audit_entries_total", {"outcome": "denied"})
    await log.record("a", "b", actor="c", outcome="denied")
    await log.record("a", "b", actor="c")
    assert get_counter("undercroft_audit_entries_total", {"outcome": "denied"}) == before + 1


async def test_log_that_is_not_open_is_a_clear_error() -> None:
    log = create_audit_log("memory://", redact=hide)
    with pytest.raises(NotOpenError, match="async with"):
        await log.record("a", "b", actor="c")


async def test_open_log_answers_a_ping(log: AuditLog) -> None:
    await log.ping()


@pytest.mark.parametrize(
    ("url", "error", "problem"),
    [
        ("redis://cache", ConfigError, "no backend for redis://"),
        ("memory://?size=5", UrlError, "size"),
        ("sqlite:///audit.db?synchronous=normal", UrlError, "synchronous"),
        ("sqlite:///audit.db?busy_timeout=5", UrlError, "busy_timeout_s"),
        ("sqlite://", UrlError, "path"),
    ],
)
def test_url_that_cannot_be_is_refused(url: str, error: type[Exception], problem: str) -> None:
    with pytest.raises(error) as caught:
        create_audit_log(url, redact=hide)
    assert problem in str(caught.value)


def test_short_key_is_refused_and_no_key_is_shown() -> None:
    with pytest.raises(AuditEntryError) as caught:
        create_audit_log("memory://", redact=hide, key="hunter2")
    assert "has 7 bytes, and 16 are the least" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    log = create_audit_log("memory://", redact=hide, key="0123456789abcdef")
    assert repr(log) == "AuditLog(store='memory', has_key=True)"
    log = create_audit_log("memory://", redact=hide, key="correct horse battery staple")
    assert repr(log) == "AuditLog(store='memory', has_key=True)"
    assert "horse" not in repr(log)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=10,
)
STATES = st.dictionaries(st.sampled_from("abc"), JSON, max_size=3)


def _merged(base: Any, changes: Any, gone: Any) -> Any:
    """Return `base` with what was kept of `before` taken out and what was kept of `after` put in."""
    merged = {key: value for key, value in base.items() if key not in gone or key in changes}
    for key, value in changes.items():
        is_nested = all(isinstance(side.get(key), dict) for side in (base, changes, gone))
        merged[key] = _merged(base[key], value, gone[key]) if is_nested else value
    return merged


@given(STATES, STATES)
async def test_what_is_kept_turns_the_one_state_into_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    async with create_audit_log("memory://", redact=dict) as log:
        entry = await log.record("a", "b", actor="c", before=before, after=after)
    assert _merged(before, entry.after, entry.before) == after


@given(st.text(min_size=1), st.text(min_size=1), st.dictionaries(st.text(), st.floats() | st.text()))
async def test_record_either_stores_exactly_what_it_got_or_refuses(
    action: str, actor: str, after: dict[str, Any]
) -> None:
    async with create_audit_log("memory://", redact=dict) as log:
        try:
            entry = await log.record(action, "b", actor=actor, after=after)
        except AuditEntryError:
            assert await log.search() == []
            return
        assert [(found.action, found.actor) for found in await log.search()] == [(action, actor)]
        finite = {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in after.items()}
        assert entry.after == finite
        assert (await log.verify()).is_intact
