"""Dead letters: found, grouped by why, run again, deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from undercroft._core.clock import VirtualClock
from undercroft.queue import Queue, create_queue, job
from undercroft.queue._dead_letters import normalise_message

pytestmark = pytest.mark.anyio


@job("shop.bill", attempts=1)
async def bill(order: int) -> None:
    raise LookupError(f"order {order} of 'customer {order}' is not there")


@job("shop.send", attempts=1, queue="mail")
async def send(host: str) -> None:
    raise ConnectionError(f"{host} does not answer")


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def queue(clock: VirtualClock) -> AsyncIterator[Queue]:
    async with create_queue("memory://", jobs=[bill, send], clock=clock) as queue:
        for order in range(7):
            await queue.enqueue(bill, order)
            await queue.worker(queues=["default"]).drain()
            await clock.advance("1m")
        await queue.enqueue(send, "smtp")
        await queue.enqueue(send, "relay")
        await queue.worker().drain()
        yield queue


async def test_reasons_are_grouped_by_what_messages_have_in_common_most_frequent_first(queue: Queue) -> None:
    reasons = await queue.dead_letters.reasons()
    assert [(r.count, r.name, r.error_type, r.message) for r in reasons] == [
        (7, "shop.bill", "LookupError", "order # of '…' is not there"),
        (1, "shop.send", "ConnectionError", "relay does not answer"),
        (1, "shop.send", "ConnectionError", "smtp does not answer"),
    ]


async def test_reason_has_its_time_span_and_the_newest_samples(queue: Queue) -> None:
    reason = (await queue.dead_letters.reasons(name="shop.bill"))[0]
    assert reason.first_at is not None
    assert reason.last_at is not None
    assert (reason.last_at - reason.first_at).total_seconds() == 360
    page = await queue.dead_letters.list(name="shop.bill", limit=5)
    assert reason.sample_ids == tuple(record.id for record in page.jobs)


async def test_list_pages_and_filters(queue: Queue) -> None:
    first = await queue.dead_letters.list(limit=4, name="shop.bill")
    rest = await queue.dead_letters.list(limit=4, name="shop.bill", cursor=first.cursor)
    assert [len(first.jobs), len(rest.jobs)] == [4, 3]
    assert len((await queue.dead_letters.list(queue="mail")).jobs) == 2
    assert len((await queue.dead_letters.list(text="SMTP")).jobs) == 1


async def test_one_reason_is_run_again(queue: Queue) -> None:
    assert await queue.dead_letters.retry(message="smtp does not answer") == 1
    counts = await queue.counts(queue="mail")
    assert (counts.waiting, counts.failed) == (1, 1)


async def test_all_of_a_type_are_run_again_and_fail_anew(queue: Queue) -> None:
    assert await queue.dead_letters.retry(error_type="LookupError") == 7
    await queue.worker().drain()
    assert (await queue.dead_letters.reasons(name="shop.bill"))[0].count == 7


async def test_old_ones_are_purged_and_the_others_kept(queue: Queue) -> None:
    assert await queue.dead_letters.purge(name="shop.bill", older_than="150s") == 5
    assert await queue.dead_letters.purge(queue="mail") == 2
    assert [reason.count for reason in await queue.dead_letters.reasons()] == [2]


async def test_job_that_was_retried_and_is_fine_is_no_dead_letter(queue: Queue) -> None:
    await queue.dead_letters.retry(queue="mail")
    await queue.drain("mail")
    assert await queue.dead_letters.reasons(queue="mail") == ()


# What messages have in common


@pytest.mark.parametrize(
    ("message", "common"),
    [
        ("order 7 is not there", "order # is not there"),
        ("took 1.5 s, 10:30:00 o'clock", "took # s, # o'clock"),
        ("user 6f1c9a0e-8c5e-4b1f-9a53-2f0f6f0f9b1d is gone", "user # is gone"),
        ("object at 0x7f3bc0de", "object at #"),
        ("commit deadbeef1 and 4bf92f3577b34da6", "commit # and #"),
        ("job 01JDQ8K5X3W9ZQ0V7N2M4B6C8D failed", "job # failed"),
        ("no field 'name' in \"order\"", "no field '…' in \"…\""),
        ("it can't be the user's", "it can't be the user's"),
        ("facade decade", "facade decade"),
        ("line one\n  line two", "line one line two"),
        ("HTTP2 utf8 v10", "HTTP# utf# v#"),
        ("", ""),
    ],
)
def test_what_varies_is_left_out(message: str, common: str) -> None:
    assert normalise_message(message) == common


@given(st.text())
@example("5'abc'")
@example("''' '0'")
def test_normalising_twice_changes_nothing_more(message: str) -> None:
    once = normalise_message(message)
    assert normalise_message(once) == once


@given(st.integers(min_value=0), st.integers(min_value=0), st.from_regex(r"[a-z ]{0,40}", fullmatch=True))
def test_messages_that_differ_in_a_number_are_of_one_kind(first: int, second: int, words: str) -> None:
    assert normalise_message(f"{words} {first} {words}") == normalise_message(f"{words} {second} {words}")


@given(st.uuids(), st.uuids())
def test_messages_that_differ_in_an_id_are_of_one_kind(first: object, second: object) -> None:
    assert normalise_message(f"row {first} is locked") == normalise_message(f"row {second} is locked")


@given(st.text(min_size=1000, max_size=3000))
def test_common_part_is_bounded(message: str) -> None:
    assert len(normalise_message(message)) <= 1000
