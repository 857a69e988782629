"""Options of jobs: every spelling, what is refused, and what an engine gets of them."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft._core.clock import VirtualClock
from undercroft._core.errors import ConfigError
from undercroft.queue import (
    Backoff,
    Deduplication,
    JobDefinitionError,
    JobNotRegisteredError,
    Keep,
    Priority,
    create_queue,
    define_job,
    job,
)
from undercroft.queue._options import KEEP_COMPLETED, KEEP_FAILED, ResolvedOptions
from undercroft.queue._values import NewJob

pytestmark = pytest.mark.anyio


@job("shop.alert")
async def alert(job_id: str) -> None: ...


@job("shop.pack", tags=["parcel"], on_failure=alert)
async def pack(number: int) -> None: ...


def resolved(**options: Any) -> ResolvedOptions:
    return ResolvedOptions().with_(options)


async def stored(**options: Any) -> NewJob:
    """Return what the engine is given for a job with these options."""
    kept: list[NewJob] = []
    queue = create_queue("memory://", jobs=[pack, alert], clock=VirtualClock())
    add = queue._engine.add

    async def spy(jobs: Any) -> Any:
        kept.extend(jobs)
        return await add(jobs)

    queue._engine.add = spy  # type: ignore[method-assign]
    async with queue:
        await queue.enqueue("shop.pack", {"number": 1}, **options)
    return kept[0]


def test_job_is_kept_a_day_and_among_the_last_1000_and_a_failed_one_a_week() -> None:
    assert resolved().keep_completed == KEEP_COMPLETED == Keep(age_s=86400, count=1000)
    assert resolved().keep_failed == KEEP_FAILED == Keep(age_s=7 * 86400)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (True, Keep()),
        (False, Keep(count=0)),
        (0, Keep(count=0)),
        (50, Keep(count=50)),
        ("2d", Keep(age_s=172800)),
        (timedelta(hours=1), Keep(age_s=3600)),
        ({"age": "1h"}, Keep(age_s=3600)),
        ({"count": 5}, Keep(count=5)),
        ({"age": 60, "count": 5}, Keep(age_s=60, count=5)),
        (Keep(count=3), Keep(count=3)),
    ],
)
def test_retention_in_every_spelling(given: Any, kept: Keep) -> None:
    assert resolved(keep_completed=given).keep_completed == kept
    assert resolved(keep_failed=given).keep_failed == kept


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"deduplication": "a"}, Deduplication(key="a")),
        ({"deduplication": Deduplication.simple("a")}, Deduplication(key="a")),
        ({"deduplication": {"id": "a"}}, Deduplication(key="a")),
        ({"deduplication": {"id": "a", "ttl": "5m"}}, Deduplication.throttle("a", 300)),
        (
            {"deduplication": {"id": "a", "ttl": 5, "extend": True, "replace": True}},
            Deduplication.debounce("a", "5s"),
        ),
        ({"deduplication": {"id": "a", "replace": True}}, Deduplication(key="a", replace=True)),
        ({"dedupe_key": "a"}, Deduplication(key="a")),
        ({"idempotency_key": "a"}, Deduplication(key="idempotency:a", ttl_s=86400)),
        ({"idempotency_key": "a", "idempotency_ttl": "1h"}, Deduplication(key="idempotency:a", ttl_s=3600)),
    ],
)
def test_deduplication_in_every_spelling(options: Any, rule: Deduplication) -> None:
    assert resolved(**options).deduplication == rule


async def test_debounced_job_is_delayed_by_its_ttl() -> None:
    new = await stored(deduplication=Deduplication.debounce("a", "10s"))
    assert new.due_at - new.created_at == 10


async def test_debounced_job_with_a_delay_has_that_delay() -> None:
    new = await stored(deduplication=Deduplication.debounce("a", "10s"), delay=3)
    assert new.due_at - new.created_at == 3


async def test_throttled_job_is_not_delayed() -> None:
    new = await stored(deduplication=Deduplication.throttle("a", "10s"))
    assert new.due_at == new.created_at


async def test_definition_s_options_reach_the_engine() -> None:
    new = await stored()
    assert (new.tags, new.on_failure, new.lifo) == (("parcel",), "shop.alert", False)


async def test_options_of_one_enqueue_win() -> None:
    new = await stored(tags={"a"}, lifo=True, on_failure="shop.pack", keep_completed=False, keep_failed="1d")
    assert (new.tags, new.lifo, new.on_failure) == (("a",), True, "shop.pack")
    assert (new.keep_completed, new.keep_failed) == (Keep(count=0), Keep(age_s=86400))


def test_tags_are_kept_once_and_in_order() -> None:
    assert resolved(tags=["b", "a", "b"]).tags == ("b", "a")


def test_job_or_name_may_be_called_on_failure() -> None:
    assert resolved(on_failure=alert).on_failure == resolved(on_failure="shop.alert").on_failure == "shop.alert"


async def test_unknown_job_on_failure_is_refused_with_near_names() -> None:
    async with create_queue("memory://", jobs=[pack, alert]) as queue:
        with pytest.raises(JobNotRegisteredError, match=r"shop\.alrt") as caught:
            await queue.enqueue("shop.pack", {"number": 1}, on_failure="shop.alrt")
        assert caught.value.near[0] == "shop.alert"
        assert (await queue.counts()).waiting == 0


def test_priorities_have_names_and_0_comes_first() -> None:
    assert min(Priority) is Priority.CRITICAL
    assert int(Priority.CRITICAL) == resolved().priority == 0
    assert type(resolved(priority=Priority.LOW).priority) is int


def test_process_is_chosen_where_a_job_is_defined() -> None:
    def work(number: int) -> int:
        return number

    assert define_job(name="a", handler=work, options={"run_in": "process"}).options.run_in == "process"
    with pytest.raises(JobDefinitionError, match="belongs to the job's definition"):
        resolved(run_in="process")


def test_async_handler_is_not_run_in_a_process() -> None:
    with pytest.raises(JobDefinitionError, match="is for plain functions"):
        define_job(name="a", handler=pack.handler, options={"run_in": "process"})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"deduplication": "a", "dedupe_key": "b"}, "both 'deduplication' and 'dedupe_key'"),
        ({"deduplication": "a", "idempotency_key": "b"}, "both 'deduplication' and 'idempotency_key'"),
        ({"dedupe_key": "a", "idempotency_key": "b"}, "both 'dedupe_key' and 'idempotency_key'"),
        ({"idempotency_ttl": 5}, "without 'idempotency_key'"),
        ({"idempotency_key": "a", "idempotency_ttl": 0}, "for no time"),
        ({"idempotency_key": ""}, "1 to 256"),
        ({"dedupe_key": 7}, "1 to 256"),
        ({"dedupe_key": "x" * 257}, "1 to 256"),
        ({"deduplication": {"ttl": 5}}, "has no 'id'"),
        ({"deduplication": {"id": "a", "tll": 5}}, "near: ttl"),
        ({"deduplication": {"id": "a", "ttl": 0}}, "for no time"),
        ({"deduplication": {"id": "a", "extend": True}}, "there is none"),
        ({"deduplication": {"id": "a", "replace": 1}}, "not True or False"),
        ({"deduplication": 5}, "not a rule"),
        ({"lifo": "yes"}, "not True or False"),
        ({"keep_completed": "for ever"}, "not a duration"),
        ({"keep_completed": 1.5}, "does not say how long"),
        ({"keep_completed": {}}, "does not say how long"),
        ({"keep_failed": {"days": 3}}, "does not say how long"),
        ({"keep_failed": -1}, "whole number"),
        ({"tags": "parcel"}, "not a list"),
        ({"tags": ["new\nline"]}, "printable"),
        ({"tags": [str(n) for n in range(33)]}, "33 tags are too many"),
        ({"on_failure": "two words"}, "on_failure job"),
        ({"on_failure": 5}, "on_failure job"),
        ({"run_at": "2030-01-01"}, "with a time zone"),
        ({"priority": True}, "whole number"),
        ({"dedup_key": "a"}, "near: dedupe_key"),
    ],
)
def test_wrong_option_is_refused_by_name(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError) as caught:
        resolved(**options)
    assert says in str(caught.value)


_OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "attempts": st.integers(1, 1000),
        "backoff": st.sampled_from(["fixed", "linear", "exponential", 1.5, "10s", {"type": "fixed", "delay_ms": 5}]),
        "delay": st.one_of(st.integers(0, 10**6), st.timedeltas(timedelta(0), timedelta(days=9))),
        "timeout": st.one_of(st.none(), st.floats(0, 10**6)),
        "priority": st.integers(0, 2**21),
        "queue": st.from_regex(r"[a-z]{1,20}", fullmatch=True),
        "lifo": st.booleans(),
        "dedupe_key": st.from_regex(r"[a-z0-9:-]{1,50}", fullmatch=True),
        "keep_completed": st.one_of(st.booleans(), st.integers(0, 10**9), st.just("5d")),
        "tags": st.lists(st.from_regex(r"[a-z]{1,20}", fullmatch=True), max_size=32),
    },
)


@given(_OPTIONS, _OPTIONS)
def test_options_on_top_of_others_are_all_of_them_with_the_later_winning(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    assert resolved(**first).with_(second) == resolved(**{**first, **second})


@given(_OPTIONS)
def test_resolving_does_not_depend_on_the_order_of_the_options(options: dict[str, Any]) -> None:
    assert resolved(**dict(reversed(options.items()))) == resolved(**options)


@given(st.text(max_size=30))
def test_any_text_as_a_backoff_is_a_backoff_or_a_config_error(text: str) -> None:
    with suppress(ConfigError):
        assert isinstance(resolved(backoff=text).backoff, Backoff)


@given(st.datetimes(timezones=st.just(UTC), min_value=datetime(2000, 1, 1)), st.floats(0, 2e9))
def test_run_at_is_due_then_whenever_it_is_enqueued(at: datetime, now: float) -> None:
    assert resolved(run_at=at).due_at(now) == at.timestamp()
