"""The spans of messages: publishing, and handling below it, also in another process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from tests._spans import TakenSpans, taken_spans
from undercroft._core.context import Correlation, Trace, correlate
from undercroft.connections.pubsub import PubSub, Topic, subscription
from undercroft.connections.pubsub.memory import MemoryPubSub
from undercroft.monitoring import baggage, get_baggage, get_counter, start_span

pytestmark = pytest.mark.anyio

PAID = Topic("orders-paid", schema=dict[str, Any])


@pytest.fixture
def taken() -> Iterator[TakenSpans]:
    with taken_spans() as spans:
        yield spans


async def handled(handler: Any, **attributes: str) -> None:
    """Publish one message and return once `handler` had it."""
    done = anyio.Event()

    @subscription("billing", PAID)
    async def billing(payload: dict[str, Any]) -> None:
        try:
            await handler(payload)
        finally:
            done.set()

    async with PubSub(MemoryPubSub(), [PAID], [billing]) as pubsub, pubsub.subscriber():
        await pubsub.publish(PAID, {"order": 7}, attributes=attributes)
        with anyio.fail_after(5):
            await done.wait()


async def fine(payload: dict[str, Any]) -> None:
    with start_span("charge"):
        assert payload == {"order": 7}


async def failing(payload: dict[str, Any]) -> None:
    raise KeyError("card")


async def test_a_message_is_handled_below_where_it_was_published(taken: TakenSpans) -> None:
    with start_span("checkout"):
        await handled(fine)
    (published,), (charge,), (checkout,) = map(taken.named, ("publish orders-paid", "charge", "checkout"))
    (process,) = taken.named("process billing")
    assert (published.kind, process.kind) == ("producer", "consumer")
    assert (published.parent_span_id, process.parent_span_id) == (checkout.span_id, published.span_id)
    assert charge.parent_span_id == process.span_id
    assert process.attributes["messaging.message.id"] == published.attributes["messaging.message.id"]
    assert (process.status, process.attributes["undercroft.message.outcome"]) == ("unset", "handled")


async def test_a_handler_that_fails_is_an_error_of_its_span(taken: TakenSpans) -> None:
    await handled(failing)
    process = taken.named("process billing")[0]
    assert (process.status, process.attributes["undercroft.message.outcome"]) == ("error", "failed")


async def test_baggage_and_state_travel_with_the_message() -> None:
    seen: list[Any] = []

    async def look(payload: dict[str, Any]) -> None:
        seen.append(dict(get_baggage()))

    trace = Trace(trace_id="a" * 32, span_id="b" * 16, state="one=1")
    with correlate(Correlation(trace=trace)), baggage(user="ann"):
        await handled(look)
    assert seen == [{"user": "ann"}]


async def test_baggage_that_pubsub_does_not_take_stays_behind() -> None:
    seen: list[Any] = []

    async def look(payload: dict[str, Any]) -> None:
        seen.append(dict(get_baggage()))

    with baggage(large="x" * 1025):
        await handled(look)
    assert seen == [{}]


async def test_messages_are_counted_by_what_came_of_them() -> None:
    published, handled_ = "undercroft_messages_published_total", "undercroft_messages_handled_total"
    topic = {"topic": "orders-paid"}
    ok, bad = ({"subscription": "billing", "outcome": outcome} for outcome in ("handled", "failed"))
    before = get_counter(published, topic), get_counter(handled_, ok), get_counter(handled_, bad)
    await handled(fine)
    await handled(failing)
    assert get_counter(published, topic) == before[0] + 2
    assert get_counter(handled_, ok) == before[1] + 1
    assert get_counter(handled_, bad) >= before[2] + 1
